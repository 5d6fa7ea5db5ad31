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
from adaptive_smoothing.pipeline.commands import terminals

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
        word = args[0]
        if self.get_command(ctx, word) is None and not ctx.resilient_parsing and not word.startswith("-"):
            legal = [name for name, command in self.commands.items() if not command.hidden]
            raise Misuse(str(unknown("command", word, legal, ctx.command_path)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; a reader that closes the pipe early, such as `head`, ends it quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_output()
            return 0


class Command(TyperCommand):
    """A subcommand. Its help names arguments as its usage does, and leaves out their Python types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line; a required argument is without brackets."""
        pieces: list[str] = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "") for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of arguments and options."""
        for kind in ("argument", "option"):
            parameters = [one for one in self.get_params(ctx) if one.param_type_name == kind]
            rows = [row for one in parameters if (row := _help_row(one, ctx))]
            if rows:
                with formatter.section(f"{kind.capitalize()}s"):
                    formatter.write_dl(rows)


class ProjectCommand(Command):
    """A subcommand that works in the project's folder."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; raise UserError in any other folder."""
        check_folder()
        return super().invoke(ctx)


def _help_row(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Return a parameter's name and help text; None if it is hidden."""
    row: tuple[str, str] | None = parameter.get_help_record(context)
    if row is None or parameter.param_type_name == "option":
        return row
    return parameter.metavar or parameter.name, row[1]


def check_folder() -> None:
    """Raise UserError unless the working directory is the project's folder."""
    here = Path.cwd()
    if missing := _missing_parts(here):
        project = next((folder for folder in here.parents if not _missing_parts(folder)), None)
        mend = f"cd {project}" if project else f"call {NAME} in the project's folder"
        raise UserError(f"{here}: has no {' and no '.join(missing)}; {mend}")


def _missing_parts(folder: Path) -> list[str]:
    return [name for name in PROJECT_PARTS if not (folder / name).exists()]


def run(command: Any, arguments: Sequence[str] | None) -> int:
    """Run the program with these words (those of the command line if None) and return its exit status."""
    return ended(lambda: command.main(arguments, prog_name=NAME, standalone_mode=False))


def ended(work: Callable[[], object]) -> int:
    """Do some work and return its exit status; an error is one sentence on stderr."""
    terminals.accept_any()
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
    except OSError as error:
        return _report(f"{error.filename or 'the operating system'}: {error.strerror or error}", UserError.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as error:  # of argparse, or of typer after it installed completion
        return error.code if isinstance(error.code, int) else 0
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
    message = " ".join(error.format_message().split()).rstrip(".")
    if close := getattr(error, "possibilities", None):  # of an unknown option
        message = f"{error.message} (did you mean '{close[0]}'?)"
    return message[:1].lower() + message[1:]


def _report(message: str, status: int, context: Any = None) -> int:
    print(f"error: {message}", file=sys.stderr)
    if context is not None:
        print(f"see: {context.command_path} --help", file=sys.stderr)
    return status
