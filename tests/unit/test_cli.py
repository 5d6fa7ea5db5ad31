"""The program `smoothing`: its subcommands, their help, what they refuse, and how they end."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from json_fields import undocumented

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import plan, snakemake_cli
from adaptive_smoothing.pipeline.commands import cli, parameters
from adaptive_smoothing.pipeline.commands.estimate import command as estimate_command
from adaptive_smoothing.pipeline.commands.estimate.cost_model import CostEstimate
from snakemake_executor_plugin_submitit import doctor

ROOT = Path(__file__).parents[2]
MODULES = "adaptive_smoothing.pipeline.commands"
PROGRAM = Path(sys.executable).with_name("smoothing")
HEAVY = {"torch", "pandas", "pyarrow", "numpy", "snakemake", "matplotlib", "submitit"}


def subcommands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words that call the program and all its subcommands, hidden ones too."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from subcommands(inner, (*path, name))


COMMANDS = [pytest.param(path, id=" ".join(path)) for path in subcommands(typer.main.get_command(cli.app))]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Return a project's folder without any results, which is the working directory."""
    for part in ("Snakefile", "config", "docs"):
        (tmp_path / part).symlink_to(ROOT / part)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_examples_as_lines_and_fits_a_terminal(path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*path, "--help"]) == 0
    text, errors = capsys.readouterr()
    assert errors == "" and text.startswith(" ".join(["Usage: smoothing", *path]))
    assert max(map(len, text.splitlines())) <= 80
    examples = text.split("Examples:\n")[1].splitlines()
    assert len(examples) >= 2 and all(line.strip().startswith("smoothing ") for line in examples)
    assert "...\n" not in text.partition("Commands:")[2], "a summary is cut off"


@pytest.mark.parametrize("path", COMMANDS)
def test_an_unknown_option_is_a_misuse(path, project, capsys):
    assert cli.main([*path, "--zzz"]) == 2
    text, errors = capsys.readouterr()
    assert (text, errors) == ("", f"error: no such option: --zzz\nsee: {' '.join(['smoothing', *path])} --help\n")


def test_the_readme_lists_every_subcommand():
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("| `smoothing …` | answers |\n")[1].split("\n\n")[0]
    listed = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    commands = typer.main.get_command(cli.app).commands
    assert listed == {name for name, command in commands.items() if not command.hidden}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wy", "smoothing: unknown command 'wy' (did you mean 'why'?); legal: "),
        ("status --folow", "no such option: --folow (did you mean '--follow'?)\nsee: smoothing status --help\n"),
        ("why smal", "config: unknown scale 'smal' (did you mean 'small'?); legal: "),
        ("why fig77", "config/paper.yaml: unknown figure 'fig77' (did you mean 'fig7'?); legal: "),
        ("estimate small fig77", "config/small.yaml: unknown figure 'fig77' (did you mean 'fig7'?); legal: "),
        ("status small paper_figures/fig7.pdf", "paper_figures/fig7.pdf: is a figure of scale 'paper', not of 'small'"),
        ("provenance small", "name one figure, such as: smoothing provenance small fig2"),
        ("provenance small fig2 fig3", "name one figure, such as: "),
        ("export smal", "config: unknown scale 'smal' (did you mean 'small'?); legal: "),
        ("export small README.md", "README.md: the file of an archive ends in .tar.xz; an archive holds all figures "),
        ("export small fig5", "fig5: the file of an archive ends in .tar.xz; "),
        (
            "restore README.md",
            "'README.md': is no figure's table; name one, such as results/small/figures/fig7.parquet",
        ),
        ("report smal --so-far", "config: unknown scale 'smal' (did you mean 'small'?); legal: "),
        ("status --every -1", "invalid value for '--every': -1 is not a number of seconds of at least 0.1\n"),
        ("status --every inf", "invalid value for '--every': inf is not a number of seconds of at least 0.1\n"),
        ("status --every soon", "invalid value for '--every': "),
        ("estimate --profile-seconds -1", "invalid value for '--profile-seconds': -1 is not a number of seconds of "),
        ("status small --follow --json", "--json prints one document; leave --follow out\n"),
        ("adopt small --by Ada --reason same", "name the results to adopt with --run or with --method, not with both"),
        ("adopt small --by Ada --reason same --method sum", "config/small.yaml: unknown method 'sum' (did you mean "),
        ("import", "missing argument 'ARCHIVE'\nsee: smoothing import --help\n"),
    ],
)
def test_misuse_is_one_sentence_with_the_nearest_word(words, message, project, capsys):
    assert cli.main(words.split()) == 2
    text, errors = capsys.readouterr()
    assert text == "" and errors.startswith(f"error: {message}")
    assert len(errors.splitlines()) <= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "provenance small fig7",
            "paper_figures/small/fig7.pdf: does not exist; make it with 'snakemake --cores 2 paper",
        ),
        ("export small", r"scale 'small': \d+ of \d+ files are missing, .* make them with 'snakemake --cores 2 small'"),
        ("report small", r"scale 'small': \d+ of \d+ files are missing, .*'smoothing report small --so-far'"),
        ("report small --so-far", "scale 'small': there is no table .* make them with 'snakemake --cores 2 small'"),
        ("import a.tar.xz", "a.tar.xz: does not exist; 'smoothing export SCALE' writes such an archive"),
    ],
)
def test_what_needs_results_names_the_command_that_makes_them(words, message, project, capsys):
    assert cli.main([*words.split()]) == 1
    text, errors = capsys.readouterr()
    assert text == "" and errors.count("\n") == 1
    assert re.match(f"error: {message}", errors)


def test_another_folder_is_one_sentence(project, monkeypatch, capsys):
    elsewhere = project / "notes"
    elsewhere.mkdir()
    for folder, mend in ((elsewhere, f"cd {project}"), (Path("/"), "call smoothing in the project's folder")):
        monkeypatch.chdir(folder)
        assert cli.main(["why"]) == 1
        assert capsys.readouterr() == ("", f"error: {folder}: has no Snakefile and no config; {mend}\n")


@pytest.mark.parametrize(
    ("words", "scale", "figures"),
    [
        ("small fig9 fig7.png fig9", "small", ["fig9", "fig7"]),
        ("small ./paper_figures/small/fig7.pdf", "small", ["fig7"]),
        (f"{ROOT}/paper_figures/small/extra_moons.png", "small", ["extra_moons"]),
        ("results/laptop/figures/fig5.parquet", "laptop", ["fig5"]),
        ("paper_figures/fig7.pdf fig8", "paper", ["fig7", "fig8"]),
        ("fig7", "paper", ["fig7"]),
        ("", "paper", list(plan.Plan("paper", ROOT / "config").all_figures)),
    ],
)
def test_a_figure_is_named_by_its_name_or_its_file(words, scale, figures, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(snakemake_cli, "dry_run", lambda targets: {})
    assert cli.main(["why", *words.split(), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scale"] == scale and [row["figure"] for row in document["figures"]] == figures


def jobs_of_fig9(targets: Any) -> dict[str, snakemake_cli.Job]:
    """Stand in for Snakemake: Fig. 9 of the small scale was never made, all else is there."""
    figure = plan.load("small").figure("fig9")
    files = [paths.METRICS.format(scale="small", run=run.name) for run in figure.runs]
    files += [paths.TABLE.format(scale="small", figure="fig9"), *paths.figure_files("small", "fig9")]
    return {file: snakemake_cli.Job((file,), "Missing output files") for file in files}


def answers(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict[str, Any]]:
    """Return a command's answer as text and as JSON, which is the only thing on stdout."""
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert undocumented(document, words[0]) == set()
    return text, document


def test_why_as_text_and_as_json_agree(project, monkeypatch, capsys):
    monkeypatch.setattr(snakemake_cli, "dry_run", jobs_of_fig9)
    text, document = answers(capsys, "why", "small")
    rows = {
        name: (int(done), int(left), why) for name, done, left, why in re.findall(r"(\w+) +(\d+) +(\d+)  (.*)", text)
    }
    assert rows.pop("total")[:2] == tuple(document["total"].values())
    named = {row.pop("figure"): row for row in document["figures"]}
    assert list(named) == list(plan.load("small").all_figures)  # extras, too
    for name, (done, left, why) in rows.items():
        assert named[name] == {
            "runs_up_to_date": done,
            "runs_to_make": left,
            "why": [] if why == "up to date" else [why],
        }
    assert named["fig9"]["runs_to_make"] and named["fig9"]["why"] == ["never made"] and not document["up_to_date"]


def test_status_as_text_and_as_json_agree(project, monkeypatch, capsys):
    monkeypatch.setattr(snakemake_cli, "dry_run", jobs_of_fig9)
    picture = project / "paper_figures/small/fig2.pdf"
    picture.parent.mkdir(parents=True)
    picture.touch()
    text, document = answers(capsys, "status", "small")
    rows = re.findall(r"^ (\w+) +(\d+) +(\d+) +(\d+) +(\d+)   (.*)$", text, re.MULTILINE)
    assert rows == [tuple(map(str, row.values())) for row in document["figures"]]
    by_name = {row["figure"]: row for row in document["figures"]}
    assert list(by_name) == list(plan.load("small").all_figures)  # one without runs, and extras, too
    assert by_name["fig2"]["drawing"] == "up to date" and by_name["fig9"]["drawing"] == "missing"
    runs = [run for run in document["runs"] if run["state"] == "waiting"]
    assert len(runs) == by_name["fig9"]["waiting"] == document["total"]["waiting"]
    picture.with_name("fig9.pdf").touch()
    assert cli.main(["status", "small", "fig9"]) == 0
    assert re.search(r"^ fig9 .*  stale$", capsys.readouterr().out, re.MULTILINE)


def test_estimate_as_text_and_as_json_agree(project, monkeypatch, capsys):
    monkeypatch.setattr(snakemake_cli, "dry_run", jobs_of_fig9)
    monkeypatch.setattr(
        estimate_command.CostModel, "of_training", lambda self, run: CostEstimate(12.5, "cpu", f"of {run.method}")
    )
    text, document = answers(capsys, "estimate", "small", "--profile-seconds", "0")
    rows = re.findall(r"^ (\w+) +(\d+) +(\d+) +(\d+) +(.*)$", text, re.MULTILINE)
    assert [row[:4] for row in rows] == [tuple(map(str, row.values()))[:4] for row in document["figures"]]
    total, count = document["total"], len(plan.load("small").figure("fig9").runs)
    assert (total["runs_to_make"], total["seconds"], total["costs_unknown"]) == (count, {"cpu": 12.5 * count}, 0)
    assert {row["seconds_of_one"] for row in document["methods"]} == {12.5}
    assert [row["known_from"] for row in document["methods"]] == [
        [f"of {row['method']}"] for row in document["methods"]
    ]
    assert all(remark in text for remark in document["remarks"])


def test_the_doctor_gets_its_words(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(doctor, "main", lambda *given: calls.append(given) or 1)
    assert cli.main(["doctor", "--json", "--timeout", "5", "--", "--partition=gpu", "--account=lab"]) == 1
    assert cli.main(["doctor"]) == 1
    words = ["--timeout", "5", "--json", "--", "--partition=gpu", "--account=lab"]
    assert calls == [(words, "smoothing doctor"), (["--"], "smoothing doctor")]


def test_the_doctor_without_slurm_answers_as_text_and_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert undocumented(document, "doctor") == set()
    assert not document["healthy"] and all(finding["text"] in text for finding in document["findings"])


def completed(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return to what a shell completes the last word; the others are complete."""
    monkeypatch.setenv("_SMOOTHING_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["smoothing", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    cli.main([])
    text, errors = capsys.readouterr()
    assert errors == ""
    return text.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["st"], ["status"]),
        (["why", "sm"], ["small"]),
        (["why", "small", "fig1"], ["fig10"]),
        (["status", "small", "fig2", "--follow", "extra_m"], ["extra_memorisation", "extra_moons"]),
        (["provenance", "small", "fig1"], ["fig10"]),
        (["provenance", "reh"], ["rehearsal"]),
        (["report", "ru"], []),
        (["why", "nowhere", ""], []),
        (["status", "--fol"], ["--follow"]),
    ],
)
def test_words_are_completed(words, expected, project, monkeypatch, capsys):
    assert completed(words, monkeypatch, capsys) == expected


def test_the_names_of_figures_are_those_of_the_plan(monkeypatch):
    monkeypatch.chdir(ROOT)
    for scale in plan.scale_names():
        assert set(parameters.figure_names(scale)) == set(plan.load(scale).all_figures), scale


@pytest.mark.parametrize("content", ["", "a: [", "figures: 3", "inherits: broken\noverrides: {}", "inherits: 7"])
def test_completion_is_silent_about_a_broken_scale(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/broken.yaml").write_text(content)
    assert completed(["why", "broken", ""], monkeypatch, capsys) == []


def test_the_program_completes_and_is_silent_elsewhere(tmp_path):
    for folder, expected in ((ROOT, "small\n"), (tmp_path, "\n")):
        environment = {"_SMOOTHING_COMPLETE": "complete_bash", "COMP_WORDS": "smoothing why sm", "COMP_CWORD": "2"}
        done = subprocess.run(
            [PROGRAM], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == (expected, "")


def test_the_program_ends_as_its_command_does(tmp_path):
    done = subprocess.run([PROGRAM, "why"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert re.fullmatch(r"smoothing \d+\.\d+\.\d+\n", subprocess.check_output([PROGRAM, "--version"], text=True))


def test_help_imports_nothing_heavy():
    code = f"import sys; from {MODULES} import cli; cli.main(['status', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("explain small fig7", "why small fig7"),
        ("estimate.command small --profile-seconds 0", "estimate small --profile-seconds 0"),
        ("status small --follow", "status small --follow"),
        ("provenance paper_figures/fig7.pdf --all", "provenance paper_figures/fig7.pdf --all"),
        ("archive export small a.tar.xz", "export small a.tar.xz"),
        ("archive figures-from a.tar.xz --force", "import a.tar.xz --force"),
        ("archive --help", "export --help"),
        ("partial_report small", "report small --so-far"),
        ("adopt small --run a b --by Ada --reason same", "adopt small --run a --run b --by Ada --reason same"),
        ("adopt small --by Ada --method ls sam --dry-run", "adopt small --by Ada --method ls --method sam --dry-run"),
        ("deviations", "deviations"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_a_former_module_names_its_command_and_runs_it(former, now, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    module, *words = former.split()
    monkeypatch.setattr(sys, "argv", [module, *words])
    runpy.run_module(f"{MODULES}.{module}", run_name="__main__")
    assert started == [[sys.executable, "-m", f"{MODULES}.cli", *now.split()]]
    assert capsys.readouterr() == ("", f"this command is now: smoothing {now}\n")


def test_a_former_module_still_works(tmp_path):
    command = [sys.executable, "-m", f"{MODULES}.explain", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: smoothing why ")
    assert done.stderr == "this command is now: smoothing why --help\n"


@pytest.mark.parametrize("command", ["why", "status", "accuracy", "provenance", "restore"])
def test_an_empty_word_of_an_unset_variable_is_misuse(command, project, capsys):
    assert cli.main([command, ""]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_closed_output_is_no_error_of_its_own(closed, project, monkeypatch):
    monkeypatch.setattr(sys, closed, None)
    assert cli.main(["why", "smal"]) == 2
