"""Only stale pieces rerun: each edit is planned, made, and compared with exactly the files that it may change."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pandas as pd
import pytest
from conftest import Project

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.training.metrics import NOT_REPRODUCED

pytestmark = pytest.mark.slow
LIBRARY = "workflow/adaptive_smoothing"
FOLDERS = ("data", "results", "paper_figures")
CLAIMS = {pattern.format(scale="tiny") for pattern in (paths.CLAIMS, paths.CLAIMS_TABLE)}
SECTIONS = ("overview", "accuracy", "claims", "deviations", "cost", "environment", "reproduce")


def outputs(project: Project) -> dict[str, int]:
    """Return when each file was written that the pipeline made."""
    return {
        str(path.relative_to(project.folder)): path.stat().st_mtime_ns
        for folder in FOLDERS
        for path in (project.folder / folder).rglob("*")
        if path.is_file()
    }


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Return the files that were written, made or deleted between two looks."""
    return {file for file in before.keys() | after.keys() if before.get(file) != after.get(file)}


@dataclass
class Expected:
    """What an edit makes: runs (and what is measured on them), figures' tables, drawings, and other files."""

    runs: Callable[[plan.Run], bool] = lambda run: False
    measured: Callable[[plan.Run], bool] | None = None  # as `runs`, unless only the measuring reruns
    tables: Iterable[str] | None = None  # None: of all figures with such runs
    drawn: Iterable[str] = field(default_factory=tuple)  # besides those whose tables change
    others: Callable[[plan.Plan], set[str]] = lambda planned: set()

    def files(self, project: Project) -> set[str]:
        planned = plan.Plan("tiny", project.folder / "config")
        found = self.others(planned)
        tables = set(self.tables or ())
        for figure in planned.all_figures.values():
            for run in figure.runs:
                found |= self._of_run(run, figure.label_noise_mc_samples)
            if self.tables is None and any(self.runs(run) for run in figure.runs):
                tables.add(figure.name)
        for name in tables | set(self.drawn):
            found |= {
                *paths.figure_files("tiny", name),
                *(pattern.format(scale="tiny", figure=name) for pattern in (paths.NUMBERS, paths.DRAWN)),
            }
        found |= {paths.TABLE.format(scale="tiny", figure=name) for name in tables}
        if tables:
            found |= {paths.NOTES.format(scale="tiny")} | CLAIMS
        return found | (report(planned) if found else set())

    def _of_run(self, run: plan.Run, samples: int | None) -> set[str]:
        names = {"scale": "tiny", "run": run.name}
        found = set()
        if self.runs(run):
            found |= {paths.METRICS.format(**names)} | (
                {paths.POSTERIOR.format(**names)} if run.keeps_posterior else set()
            )
        if samples and (self.measured or self.runs)(run):
            found.add(paths.LABEL_NOISE.format(**names, samples=samples))
        return found


def report(planned: plan.Plan) -> set[str]:
    """Return the files of a scale's report, which shows all there is."""
    pages = [f"{page}.html" for page in (*SECTIONS, *planned.all_figures)]
    folder = paths.PAGES.format(scale="tiny")
    found = {f"{folder}/{name}" for name in (*pages, paths.PLACED, ".snakemake_timestamp")}
    return found | {pattern.format(scale="tiny") for pattern in (paths.INDEX, paths.INDEX_PAGE, paths.ACCURACY)}


def check(project: Project, expected: Expected) -> None:
    """Make the tiny scale; exactly the expected files were written, and then there is nothing to be done."""
    before = outputs(project)
    planned = project.would_run("tiny")
    wanted = expected.files(project)
    assert bool(planned) == bool(wanted), planned
    runs = [file for file in wanted if file.endswith("/metrics.parquet")]
    kept = [file for file in wanted if file.endswith("/posterior.pt")]
    counts = {"train": len(runs) - len(kept), "train_keeping_posterior": len(kept)}
    counts["measure_label_noise"] = len([file for file in wanted if "/label_noise-" in file])
    for rule, count in counts.items():
        assert planned.get(rule, 0) == count, (rule, planned)
    project.made("tiny", "--cores", "2")
    assert changed(before, outputs(project)) == wanted
    assert project.would_run("tiny") == {}


def of_method(name: str) -> Callable[[plan.Run], bool]:
    return lambda run: run.method == name


def everything(planned: plan.Plan) -> set[str]:
    """Return the prepared datasets' files and the label files of a scale."""
    folders = {run.dataset_folder for run in planned.runs.values()}
    prepared = {paths.DATASET.format(dataset=folder) + f"/{name}" for folder in folders for name in paths.DATASET_FILES}
    return prepared | {run.labels for run in planned.runs.values()}


def title(scale):
    scale["figures"]["fig7"]["title"] = "Another caption"


def mirrors(scale):
    for dataset in scale["datasets"].values():
        dataset["mirrors"] = ["/elsewhere", "https://example.org/data"]


def learning_rate(scale):
    scale["setups"]["digit_pairs"]["methods"]["ivon"]["lr"] = 0.2


def resources(scale):
    for setup in scale["setups"].values():
        setup["resources"] = {**setup["resources"], "mem_mb": 2000, "runtime": 20, "checkpoint_epochs": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (title, Expected(tables=["fig7"])),
        (mirrors, Expected()),
        (resources, Expected()),
        (learning_rate, Expected(runs=lambda run: run.method == "ivon" and run.setup == "digit_pairs")),
    ],
)
def test_an_edit_of_the_scale(edited, change, expected):
    edited.change(change)
    check(edited, expected)


WORDS = [  # a comment, a docstring, log lines, error messages, and all of core
    ("training/loop.py", "# of the last step", "# of the step before"),
    ("training/job.py", '"""Train one run and', '"""Train, in other words, one run and'),
    ("data/storage.py", "the prepared dataset is damaged", "the arrays are damaged"),
    ("data/labels.py", "import pyarrow as pa\n", "import pyarrow as pa\n\n"),
    ("training/devices.py", "torch finds no GPU ", "torch sees no GPU "),
    ("results/summary.py", "none of its runs has a", "no run of it has a"),
    ("core/errors.py", "did you mean", "is it"),
    ("core/log.py", "print(line, flush=True)", "print(line.strip(), flush=True)"),
    ("core/progress.py", "BEAT_S = 10.0", "BEAT_S = 9.0"),
    ("core/parquet.py", "READERS = 4", "READERS = 3"),
]


def reword(project: Project) -> None:
    for file, old, new in WORDS:
        project.edit(f"{LIBRARY}/{file}", old, new)
    path = next((project.folder / LIBRARY / "training").glob("job.py"))
    text = path.read_text()
    assert 'log(f"' in text
    path.write_text(text.replace('log(f"', 'log(f"now: '))


def test_words_and_core_rerun_nothing(edited):
    reword(edited)
    check(edited, Expected())


def test_a_training_with_other_words_and_another_core_gives_the_same_numbers(edited):
    before = edited.folder / "results/tiny/runs/digits-small_cnn/symmetric20/ivon/seed0/metrics.parquet"
    expected, _ = parquet.read_frame(before)
    before.unlink()
    reword(edited)
    edited.made(str(before.relative_to(edited.folder)), "--cores", "1")
    frame, _ = parquet.read_frame(before)
    columns = [column for column in expected.columns if column not in NOT_REPRODUCED]
    pd.testing.assert_frame_equal(frame[columns], expected[columns], check_exact=True)


COLUMN = ('        ("label", pa.int64()),\n', '        ("label", pa.int64()),\n        ("neighbours", pa.float64()),\n')


def test_a_column_more_in_fig_3s_table_remakes_that_table_and_what_reads_it(edited):
    file, label = f"{LIBRARY}/results/tables/examples.py", '        ("label", pa.int64()),\n'
    edited.edit(file, label, label + '        ("distance", pa.float64()),\n')
    edited.edit(file, "frame.assign(neighbours_disagree=", "frame.assign(distance=0.0, neighbours_disagree=")
    check(edited, Expected(tables=["fig3"]))


def test_a_column_more_in_the_claims_table_remakes_that_table_and_the_report(edited):
    edited.edit(
        f"{LIBRARY}/results/claims/judge.py",
        '("why", pa.string()),',
        '("why", pa.string()),\n        ("by", pa.string()),',
    )
    check(edited, Expected(others=lambda planned: CLAIMS))


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("methods/sam.py", "EPSILON = 1e-12", "EPSILON = 1e-11", Expected(runs=of_method("sam"))),
        ("figures/fig7.py", "FAINT = 0.35", "FAINT = 0.3", Expected(drawn=["fig7"])),
        ("results/report/markdown.py", 'f"Download: ', 'f"Get: ', Expected(others=report)),
        (
            "results/claims/thresholds.py",
            "SENSITIVE = 10.0",
            "SENSITIVE = 9.0",
            Expected(others=lambda planned: CLAIMS),
        ),
    ],
)
def test_an_edit_of_the_code(edited, file, old, new, expected):
    edited.edit(f"{LIBRARY}/{file}", old, new)
    check(edited, expected)


def test_a_helper_that_all_trainings_import_reruns_all_of_them(edited):
    path = edited.folder / LIBRARY / "training/schedules.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    planned, runs = edited.would_run("tiny"), plan.Plan("tiny", edited.folder / "config").runs
    assert planned["train"] + planned["train_keeping_posterior"] == len(runs)
    assert not {"prepare_dataset", "corrupt_labels"} & planned.keys()


def test_the_number_of_posterior_samples_reruns_ivons_runs_alone(edited):
    edited.change(lambda scale: scale.update(eval_mc_samples=3))
    planned, runs = edited.would_run("tiny"), plan.Plan("tiny", edited.folder / "config").runs.values()
    expected = sum(run.method == "ivon" for run in runs)
    assert 0 < planned["train"] + planned["train_keeping_posterior"] == expected < len(runs)


def test_the_bytes_of_a_dataset_rerun_all_that_reads_it(edited):
    edited.edit(f"{LIBRARY}/data/datasets/digits.py", "(255 / 16)", "(240 / 16)")  # the other two are made of digits
    check(edited, Expected(runs=lambda run: True, others=everything))


def test_a_seed_less_redraws_and_deletes_nothing(edited):
    edited.change(lambda scale: scale["figures"]["fig9"]["runs"][0].update(seeds=[0, 1]))
    edited.made("paper_figures/tiny/fig9.pdf", "--cores", "2")
    second = [file for file in outputs(edited) if "/seed1/" in file]
    assert len(second) == 5
    edited.change(lambda scale: scale["figures"]["fig9"]["runs"][0].update(seeds=[0]))
    check(edited, Expected(tables=["fig9"]))
    assert [file for file in outputs(edited) if "/seed1/" in file] == second


def test_a_method_that_nobody_uses_reruns_nothing(edited):
    shutil.copy(edited.folder / LIBRARY / "methods/ls.py", edited.folder / LIBRARY / "methods/another.py")
    check(edited, Expected())


def test_a_value_taken_back_is_not_trained_again(edited):
    """What was made under the old value is overwritten; what other values made is still there."""
    table = "results/tiny/figures/fig5.parquet"
    edited.change(lambda scale: scale["figures"]["fig5"]["runs"][0]["methods"]["sam"].update(rho=[0.05]))
    assert edited.would_run(table) == {"collect": 1}
    edited.made(table, "--cores", "2")
    edited.change(lambda scale: scale["figures"]["fig5"]["runs"][0]["methods"]["sam"].update(rho=[0.05, 0.5]))
    assert edited.would_run(table) == {"collect": 1}


def test_git_checkout_back_and_forth_reruns_nothing(edited):
    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=edited.folder, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "Snakefile", "rules", "workflow", "config", "envs", "profiles")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
    git("checkout", "-q", "-b", "other")
    edited.edit(f"{LIBRARY}/methods/sam.py", "EPSILON = 1e-12", "EPSILON = 1e-11")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-a", "-m", "two")
    assert edited.would_run("tiny")
    git("checkout", "-q", "main")
    check(edited, Expected())


def test_a_diverged_point_is_recorded_and_its_figure_made(edited):
    edited.change(lambda scale: scale["figures"]["fig5"]["runs"][0]["methods"]["sam"].update(rho=[0.05, 1e30]))
    edited.made("paper_figures/tiny/fig5.pdf", "--cores", "2")
    table = edited.folder / "results/tiny/figures/fig5.parquet"
    frame, _ = parquet.read_frame(table)
    assert frame.groupby("rho")["diverged"].any().to_dict() == {0.05: False, 1e30: True}
    assert os.path.getsize(edited.folder / "paper_figures/tiny/fig5.png") > 10_000
