"""The program `smoothing`: all that people ask about the pipeline, one subcommand a question.

A subcommand is a short function here. It imports the module that does the work when it is called, so that help and
completion import neither torch nor pandas.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from adaptive_smoothing.pipeline.commands import program
from adaptive_smoothing.pipeline.commands.parameters import (
    DEFAULT_SCALE,
    Figures,
    Json,
    Scale,
    WholeScale,
    Words,
    at_least,
)
from adaptive_smoothing.pipeline.commands.program import Command, Misuse, Program, ProjectCommand

app = typer.Typer(
    name=program.NAME,
    cls=Program,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def examples(*lines: str) -> str:
    r"""Return the examples below a help text; \b keeps their lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {program.NAME} {line}" for line in lines)])


def print_version(wanted: bool) -> None:
    """Print the version and end, if wanted."""
    if wanted:
        from importlib.metadata import version

        print(f"{program.NAME} {version('adaptive-smoothing')}")
        raise typer.Exit


@app.callback(epilog=examples("why small", "status small fig7 --follow", "provenance small fig7"))
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Ask about the pipeline of figures: what runs, what it costs, where results come from."""


WHY_EXAMPLES = examples("why", "why small", "why small fig7 fig8")


@app.command("explain", hidden=True, cls=ProjectCommand, epilog=WHY_EXAMPLES)
@app.command(cls=ProjectCommand, epilog=WHY_EXAMPLES)
def why(scale: Scale = DEFAULT_SCALE, figures: Figures = None, json: Json = False) -> None:
    """Show what would run, and why; run nothing."""
    from adaptive_smoothing.pipeline.commands import explain
    from adaptive_smoothing.pipeline.commands.common import Selection, print_answer

    print_answer(explain.explanation(Selection.of(scale, figures)), json)


@app.command(
    cls=ProjectCommand,
    epilog=examples("estimate small", "estimate paper fig7 --device H100", "estimate laptop --profile-seconds 0"),
)
def estimate(
    scale: Scale = DEFAULT_SCALE,
    figures: Figures = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Estimate for this device alone: cpu, or part of a GPU's name.")
    ] = None,
    profile_seconds: Annotated[
        float,
        typer.Option(
            callback=at_least(0), metavar="SECONDS", help="Time for training steps here; 0 uses past runs alone."
        ),
    ] = 60,
    json: Json = False,
) -> None:
    """Estimate what figures will cost, and say how that is known."""
    from adaptive_smoothing.pipeline.commands.common import Selection
    from adaptive_smoothing.pipeline.commands.estimate import command

    command.show(Selection.of(scale, figures), device, profile_seconds, json)


@app.command(cls=ProjectCommand, epilog=examples("status small", "status small fig7 --follow", "status paper --json"))
def status(
    scale: Scale = DEFAULT_SCALE,
    figures: Figures = None,
    follow: Annotated[bool, typer.Option("--follow", help="Continue until nothing is left to run.")] = False,
    every: Annotated[
        float | None,
        typer.Option(
            callback=at_least(0.1),
            metavar="SECONDS",
            help="Time between two looks of --follow. [default: 2; 30 without a terminal]",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List finished, running, waiting and failed runs."""
    from adaptive_smoothing.pipeline.commands import status
    from adaptive_smoothing.pipeline.commands.common import Selection

    if json and follow:
        raise Misuse("--json prints one document; leave --follow out")
    status.show(Selection.of(scale, figures), follow, every, json)


@app.command(
    cls=ProjectCommand,
    epilog=examples("provenance small fig7", "provenance paper_figures/small/fig7.pdf", "provenance fig7 --all --json"),
)
def provenance(
    words: Words,
    all: Annotated[bool, typer.Option("--all", help="Add each run's specification and code.")] = False,
    json: Json = False,
) -> None:
    """Trace a figure back to all its runs, and check every hash."""
    from adaptive_smoothing.pipeline.commands import provenance
    from adaptive_smoothing.pipeline.commands.common import print_answer

    print_answer(provenance.trace_words(*words, everything=all), json)


@app.command(
    cls=ProjectCommand, epilog=examples("export small", "export small /tmp/small.tar.xz", "export small --json")
)
def export(
    scale: WholeScale = DEFAULT_SCALE,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The archive to write. Default: SCALE-results.tar.xz.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a finished scale's tables and metrics into one archive."""
    from adaptive_smoothing.pipeline.commands import archive
    from adaptive_smoothing.pipeline.commands.common import print_answer

    print_answer(archive.export(scale, file), json)


@app.command(
    "import",
    cls=ProjectCommand,
    epilog=examples("import small-results.tar.xz", "import small-results.tar.xz --force"),
)
def import_archive(
    archive: Annotated[str, typer.Argument(metavar="ARCHIVE", help="A file that 'smoothing export' wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files of the project that differ.")] = False,
    json: Json = False,
) -> None:
    """Draw the figures of an archive again, without training."""
    from adaptive_smoothing.pipeline.commands.archive import figures_from
    from adaptive_smoothing.pipeline.commands.common import print_answer

    print_answer(figures_from(archive, force), json)


@app.command(
    cls=ProjectCommand,
    epilog=examples(
        'adopt small --method sam --by Ada --reason "helper moved"',
        'adopt small --run RUN --run RUN --by Ada --reason "…" --dry-run',
    ),
)
def adopt(
    scale: WholeScale,
    by: Annotated[str, typer.Option(metavar="WHO", help="Who says that the results are still right.")],
    reason: Annotated[str, typer.Option(metavar="WHY", help="Why they are.")],
    run: Annotated[
        list[str] | None, typer.Option(metavar="RUN", help="A run: its folder in results/SCALE/runs. Repeatable.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(metavar="METHOD", help="All runs of a method. Repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")] = False,
) -> None:
    """Accept old results after a change that changes no number."""
    from adaptive_smoothing.pipeline.commands import adopt

    adopt.adopt_selected(scale, run or (), method or (), adopt.Approval(by, reason), dry_run)


@app.command(cls=ProjectCommand, epilog=examples("report small", "report paper --so-far"))
def report(
    scale: WholeScale = DEFAULT_SCALE,
    so_far: Annotated[
        bool, typer.Option("--so-far", help="Report what is there, of a scale that trains or failed.")
    ] = False,
) -> None:
    """Write a finished scale as one HTML file, to read and pass on."""
    if so_far:
        from adaptive_smoothing.pipeline.commands.partial_report import report_so_far as write_report
    else:
        from adaptive_smoothing.pipeline.commands.report import write_report

    print(write_report(scale))


@app.command(cls=ProjectCommand, epilog=examples("accuracy small", "accuracy small fig5 fig9 --json"))
def accuracy(scale: Scale = DEFAULT_SCALE, figures: Figures = None, json: Json = False) -> None:
    """Print every method's test accuracies as a Markdown table."""
    from adaptive_smoothing.pipeline.commands.accuracy import accuracies
    from adaptive_smoothing.pipeline.commands.common import print_answer

    print_answer(accuracies(scale, figures), json)


@app.command(cls=ProjectCommand, epilog=examples("tune", "tune laptop_tuning --json"))
def tune(scale: WholeScale = "tuning", json: Json = False) -> None:
    """Show the hyper-parameters that a tuning scale finds."""
    from adaptive_smoothing.pipeline.commands.common import print_answer
    from adaptive_smoothing.pipeline.commands.tune import tuned

    print_answer(tuned(scale), json)


@app.command(cls=ProjectCommand, epilog=examples("smoke", "smoke --cores 2"))
def smoke(
    cores: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Cores that Snakemake may use. [default: all]")
    ] = None,
) -> int:
    """Make the paper's figures with a few steps a run, on tiny data."""
    from adaptive_smoothing.pipeline.commands.smoke import command

    return command.smoke(cores)


@app.command(cls=Command, epilog=examples("doctor", "doctor -- --partition=gpu --account=lab"))
def doctor(
    sbatch: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTION", help="Options of sbatch for the job that is submitted.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The folder that a job shall write into.")
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="Time for each command of SLURM and for the job.")
    ] = None,
    json: Json = False,
) -> int:
    """Check what --profile slurm will meet on this cluster."""
    from snakemake_executor_plugin_submitit import doctor

    given = {"--folder": folder, "--timeout": timeout}
    words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    return doctor.main([*words, *["--json"] * json, "--", *(sbatch or ())], f"{program.NAME} doctor")


@app.command(
    hidden=True, cls=ProjectCommand, epilog=examples("deviations", "deviations && git diff docs/deviations.md")
)
def deviations() -> None:
    """Write docs/deviations.md from config/paper.yaml and docs/deviations.yaml."""
    from adaptive_smoothing.pipeline.commands import deviations

    deviations.write_table()


@app.command(
    cls=ProjectCommand,
    epilog=examples("restore results/small/figures/fig7.parquet", "restore elsewhere/fig7.parquet --force"),
)
def restore(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A figure's table.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files with another content.")] = False,
) -> None:
    """Write the files that a table keeps into the project."""
    from adaptive_smoothing.pipeline.commands import restore

    print(restore.restore(table, force))


@app.command(cls=ProjectCommand, epilog=examples("differing small", "differing small fig7 --code"))
def differing(
    scale: Scale = DEFAULT_SCALE,
    figures: Figures = None,
    code: Annotated[bool, typer.Option("--code", help="List those that differ in code alone instead.")] = False,
) -> None:
    """List the files that are not what the plan asks for."""
    from adaptive_smoothing.pipeline.commands.common import Selection

    for difference in Selection.of(scale, figures).differences():
        if difference.code_alone == code:
            print(difference.file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    return program.run(typer.main.get_command(app), arguments)


if __name__ == "__main__":
    sys.exit(main())
