"""How the program `smoothing` runs a subcommand and how it ends: an error is one sentence on stderr, and a status.

The status is 0 after success, 2 after a mistake on the command line, 130 after Ctrl-C and 1 after any other error.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from adaptive_smoothing.core.errors import UserError, unknown

NAME = "smoothing"
INTERRUPTED = 130  # as shells count it: 128 + SIGINT
PROJECT_PARTS = ("Snakefile", "config")


class Misuse(UserError):
    """A mistake on the command line itself."""

    exit_status = 2


class Program(TyperGroup):
    """The whole program; its subcommands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the named subcommand; raise Misuse, with the nearest name, if there is none."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            legal = [name for name, command in self.commands.items() if not command.hidden]
            raise Misuse(str(unknown("command", args[0], legal, ctx.command_path)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; a reader that closes the pipe early, such as `head`, ends it quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_output()
            return 0


class ProjectCommand(TyperCommand):
    """A subcommand that works in the project's folder."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; raise UserError in any other folder."""
        check_folder()
        return super().invoke(ctx)


def check_folder() -> None:
    """Raise UserError unless the working directory is the project's folder."""
    if missing := [name for name in PROJECT_PARTS if not Path(name).exists()]:
        raise UserError(f"{Path.cwd()}: has no {' and no '.join(missing)}; call {NAME} in the project's folder")


def run(command: Any, arguments: Sequence[str] | None) -> int:
    """Run the program with these words (those of the command line if None) and return its exit status."""
    return ended(lambda: command.main(arguments, prog_name=NAME, standalone_mode=False))


def ended(work: Callable[[], object]) -> int:
    """Do some work and return its exit status; an error is one sentence on stderr."""
    try:
        try:
            status = work()
        finally:
            flush()  # what was printed stands before the error
    except typer.TyperException as error:
        return _report(sentence(error), error.exit_code, getattr(error, "ctx", None))
    except UserError as error:
        return _report(str(error), error.exit_status)
    except SyntaxError as error:  # the library's code is read to be compared, and may be half-written
        return _report(f"{error.filename}, line {error.lineno}: {error.msg}", UserError.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def flush() -> None:
    """Write out what was printed, unless nobody reads it any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Send what is still printed nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sentence(error: typer.TyperException) -> str:
    """Return typer's message about a command line as one sentence in this program's form."""
    message = error.format_message().rstrip(".")
    if close := getattr(error, "possibilities", None):  # of an unknown option
        message = f"{error.message} (did you mean '{close[0]}'?)"
    return message[:1].lower() + message[1:]


def _report(message: str, status: int, context: Any = None) -> int:
    print(f"error: {message}", file=sys.stderr)
    if context is not None:
        print(f"see: {context.command_path} --help", file=sys.stderr)
    return status
