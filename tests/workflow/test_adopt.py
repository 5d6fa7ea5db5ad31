"""Old results are accepted as current after a change that computes the same, and after no other change."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from adaptive_smoothing.core import parquet

SAM_RUNS = 2 * (2 + 2 + 2 + 1)  # two values of ρ in: two noises of Figs. 5, 7 and 8, one of Fig. 9
SAM = "workflow/adaptive_smoothing/methods/sam.py"
RUN = "digits_weak-small_cnn/weak_annotator/sam-rho0.5/seed0"
OLS_RUN = "digits-small_cnn/clean/ols/seed0-posterior"
MEASUREMENT = f"results/tiny/runs/{OLS_RUN}/label_noise-samples2.parquet"
FIG9 = "results/tiny/figures/fig9.parquet"


def adopt(project, *arguments: str, by: str = "Ada", reason: str = "same numbers") -> subprocess.CompletedProcess[str]:
    return project.smoothing("adopt", "tiny", *arguments, "--by", by, "--reason", reason)


def adopted(project, *arguments: str) -> str:
    """Adopt successfully and return what was printed."""
    done = adopt(project, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(project, *arguments: str, by: str = "Ada", status: int = 1) -> str:
    """Be refused with one sentence, with no file of the results changed, and return what was printed."""
    before = state(project.folder)
    done = adopt(project, *arguments, by=by)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert state(project.folder) == before
    return done.stdout + done.stderr


def state(folder: Path) -> dict[Path, tuple[int, str]]:
    """Return modification time and hash of every file in results/ and of every record of Snakemake."""
    files = [*(folder / "results").rglob("*"), *(folder / ".snakemake/metadata").rglob("*")]
    return {
        path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
        if path.is_file()
    }


def stale(project, target: str = "tiny") -> dict[str, int]:
    """Return how many runs would be trained or measured; what draws on them is left out."""
    rules = ("train", "train_keeping_posterior", "measure_label_noise")
    return {rule: count for rule, count in project.would_run(target).items() if rule in rules}


def metrics(project, run: str):
    return parquet.read(project.folder / "results/tiny/runs" / run / "metrics.parquet")


def change_sams_code(project) -> None:
    project.edit(SAM, "EPSILON = 1e-12", "EPSILON = 1e-11")


def test_moved_code_adopted_by_method_trains_nothing(edited):
    change_sams_code(edited)
    assert stale(edited) == {"train": SAM_RUNS}
    table, old = metrics(edited, RUN)
    untouched = state(edited.folder)
    assert f"adopted {SAM_RUNS} runs" in adopted(edited, "--method", "sam")
    planned = edited.would_run("tiny")
    assert "train" not in planned and (planned["collect"], planned["draw"]) == (4 + 3, 4 + 3)  # three extras
    after, new = metrics(edited, RUN)
    assert after.replace_schema_metadata(None).equals(table.replace_schema_metadata(None))
    (entry,) = new.pop("adopted")
    assert (entry["by"], entry["reason"]) == ("Ada", "same numbers")
    assert entry["from"] == old["code"] and entry["to"] == new["code"] != old["code"]
    assert {**new, "code": None} == {**old, "code": None}
    changed = {path for path, value in state(edited.folder).items() if untouched.get(path) != value}
    assert len(changed) == 2 * SAM_RUNS  # each run's metrics and Snakemake's record of them, nothing else
    edited.made(FIG9, "--cores", "1")
    assert parquet.read(edited.folder / FIG9)[1]["runs"][RUN]["adopted"] == [entry]


def test_a_later_change_is_noticed_and_a_second_adoption_is_recorded_after_the_first(edited):
    change_sams_code(edited)
    adopted(edited, "--run", RUN)
    edited.edit(SAM, "EPSILON = 1e-11", "EPSILON = 1e-10")
    assert stale(edited, FIG9) == {"train": 2}
    adopted(edited, "--run", RUN)
    assert len(metrics(edited, RUN)[1]["adopted"]) == 2
    assert f"current: {RUN}" in adopted(edited, "--run", RUN)
    assert len(metrics(edited, RUN)[1]["adopted"]) == 2


def test_a_dry_run_changes_nothing(edited):
    change_sams_code(edited)
    before = state(edited.folder)
    assert f"to adopt: {RUN}" in adopted(edited, "--method", "sam", "--dry-run")
    assert state(edited.folder) == before


def test_a_run_without_results_is_refused_by_name_and_passed_over_by_method(edited):
    (edited.folder / "results/tiny/runs" / RUN / "metrics.parquet").unlink()
    assert f"refused: {RUN}: it has no results" in refused(edited, "--run", RUN)
    assert f"no results: {RUN}" in adopted(edited, "--method", "sam", "--dry-run")


def test_another_learning_rate_is_refused_and_nobody_adopted(edited):
    change_sams_code(edited)
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["sam"].update(lr=0.04))
    printed = refused(edited, "--method", "sam")
    why = "'hyperparameters.lr' is 0.01 in its record but 0.04 in the plan"
    assert f"refused: {RUN}: {why}" in printed
    assert f"2 of {SAM_RUNS} selected runs" in printed


def test_other_labels_are_refused(edited):
    change_sams_code(edited)
    labels = next((edited.folder / "results/tiny/labels").rglob("weak_annotator-seed0.parquet"))
    table, metadata = parquet.read(labels)
    parquet.write(labels, table, {**metadata, "note": "made anew"})
    assert "made from other data, labels or posterior" in refused(edited, "--run", RUN)


def test_labels_that_are_to_be_made_anew_are_refused_and_stay_so(edited):
    change_sams_code(edited)
    path = edited.folder / "workflow/adaptive_smoothing/data/corruption.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    refusal = refused(edited, "--run", RUN)
    assert "is out of date; make it first: snakemake --cores 1 results/tiny/labels/" in refusal


def test_posterior_and_label_noise_are_adopted_with_their_run(edited):
    path = edited.folder / "workflow/adaptive_smoothing/models/small_cnn.py"  # a training and a measurement reach it
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert stale(edited, MEASUREMENT) == {"train_keeping_posterior": 1, "measure_label_noise": 1}
    adopted(edited, "--run", OLS_RUN)
    assert stale(edited, MEASUREMENT) == {}
    assert parquet.read(edited.folder / MEASUREMENT)[1]["adopted"][0]["by"] == "Ada"


def test_a_change_of_the_measurement_alone_adopts_the_measurement(edited):
    path = edited.folder / "workflow/adaptive_smoothing/theory/label_noise.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert stale(edited, MEASUREMENT) == {"measure_label_noise": 1}
    adopted(edited, "--method", "ols")
    assert stale(edited, MEASUREMENT) == {}
    assert "adopted" not in metrics(edited, OLS_RUN)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", RUN.replace("0.5", "0.51")], f"did you mean '{RUN}'?"),
        (["--method", "sum"], "unknown method 'sum' (did you mean 'sam'?); legal: "),
    ],
)
def test_mistakes_are_one_sentence(finished, arguments, message):
    assert message in refused(finished, *arguments, status=2)


def test_nobody_cannot_adopt(finished):
    assert "--by and --reason must say" in refused(finished, "--method", "sam", by=" ", status=2)
