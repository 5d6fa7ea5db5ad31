"""The program `smoothing`: all that people ask about the pipeline, one subcommand a question.

A subcommand is a short function here. It imports the module that does the work when it is called, so that help and
completion import neither torch nor pandas.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from adaptive_smoothing.pipeline.commands import program
from adaptive_smoothing.pipeline.commands.parameters import DEFAULT_SCALE, Figures, Scale
from adaptive_smoothing.pipeline.commands.program import Program, ProjectCommand

app = typer.Typer(
    name=program.NAME,
    cls=Program,
    help="Ask about the pipeline of figures: what runs, what it costs, where results come from.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def examples(*lines: str) -> str:
    r"""Return the examples below a help text; \b keeps their lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {program.NAME} {line}" for line in lines)])


@app.command(cls=ProjectCommand, epilog=examples("why", "why small", "why small fig7 fig8"))
def why(scale: Scale = DEFAULT_SCALE, figures: Figures = None) -> None:
    """Show what would run, and why; run nothing."""
    from adaptive_smoothing.pipeline.commands import explain
    from adaptive_smoothing.pipeline.commands.common import Selection

    print(explain.report(Selection.of(scale, figures or [])))


@app.command(cls=ProjectCommand, epilog=examples("status small", "status small fig7 --follow"))
def status(
    scale: Scale = DEFAULT_SCALE,
    figures: Figures = None,
    follow: Annotated[bool, typer.Option("--follow", help="Continue until nothing is left to run.")] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Time between two looks. [default: 2; 30 without a terminal]"),
    ] = None,
) -> None:
    """List finished, running, waiting and failed runs."""
    from adaptive_smoothing.pipeline.commands import status
    from adaptive_smoothing.pipeline.commands.common import Selection

    status.show(Selection.of(scale, figures or []), follow, every)


@app.command(cls=ProjectCommand, epilog=examples("smoke", "smoke --cores 2"))
def smoke(
    cores: Annotated[int | None, typer.Option(min=1, help="Cores that Snakemake may use. [default: all]")] = None,
) -> int:
    """Test that everything of the paper's scale runs: all its figures, a few steps a run, on tiny data."""
    from adaptive_smoothing.pipeline.commands.smoke import command

    return command.smoke(cores)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    return program.run(typer.main.get_command(app), arguments)


if __name__ == "__main__":
    sys.exit(main())
