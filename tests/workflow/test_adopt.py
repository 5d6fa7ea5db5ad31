"""Old results are accepted as current after a change that computes the same, and after no other change."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_smoothing.core import parquet

SAM_RUNS = 2 * (2 + 2 + 2 + 1)  # two values of ρ in: two noises of Figs. 5, 7 and 8, one of Fig. 9
SAM = "workflow/adaptive_smoothing/methods/sam.py"
WEAK = "digits_weak-small_cnn/weak_annotator"


def adopt(project, *arguments: str, by: str = "Ada", reason: str = "same numbers") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "adaptive_smoothing.pipeline.commands.adopt",
        "tiny",
        *arguments,
        "--by",
        by,
        "--reason",
        reason,
    ]
    env = {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}
    return subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True, timeout=300)


def adopted(project, *arguments: str) -> str:
    """Adopt successfully and return what was printed."""
    done = adopt(project, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(project, *arguments: str, by: str = "Ada") -> str:
    """Be refused with one sentence, with no file of the results changed, and return what was printed."""
    before = state(project.folder)
    done = adopt(project, *arguments, by=by)
    assert done.returncode == 1, done.stdout + done.stderr
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


def stale(project) -> dict[str, int]:
    """Return how many runs would be trained or measured; what draws on them is left out."""
    rules = ("train", "train_keeping_posterior", "measure_label_noise")
    return {rule: count for rule, count in project.would_run("tiny").items() if rule in rules}


def metrics(project, run: str):
    return parquet.read(project.folder / "results/tiny/runs" / run / "metrics.parquet")


def change_sams_code(project) -> None:
    project.edit(SAM, "EPSILON = 1e-12", "EPSILON = 1e-11")


def rename_rho(project) -> None:
    """Call ρ `radius` instead of `rho` in the code and in the scale."""
    project.edit(SAM, "    rho: NonNegative", "    radius: NonNegative")
    project.edit(SAM, "hyperparameters.rho", "hyperparameters.radius")

    def change(scale):
        for figure in [*scale["figures"].values(), *scale["extras"].values()]:
            for grid in figure.get("runs", []):
                if "sam" in grid["methods"]:
                    grid["methods"]["sam"] = {"radius": grid["methods"]["sam"]["rho"]}

    project.change(change)


def test_moved_code_adopted_by_method_trains_nothing(edited):
    change_sams_code(edited)
    assert stale(edited) == {"train": SAM_RUNS}
    table, old = metrics(edited, f"{WEAK}/sam-rho0.5/seed0")
    untouched = state(edited.folder)
    assert f"adopted {SAM_RUNS} runs" in adopted(edited, "--method", "sam")
    planned = edited.would_run("tiny")
    assert "train" not in planned and (planned["collect"], planned["draw"]) == (4 + 3, 4 + 3)  # three extras
    after, new = metrics(edited, f"{WEAK}/sam-rho0.5/seed0")
    assert after.replace_schema_metadata(None).equals(table.replace_schema_metadata(None))
    (entry,) = new.pop("adopted")
    assert (entry["by"], entry["reason"]) == ("Ada", "same numbers")
    assert entry["from"] == old["code"] and entry["to"] == new["code"] != old["code"]
    assert {**new, "code": None} == {**old, "code": None}
    changed = {path for path, value in state(edited.folder).items() if untouched.get(path) != value}
    assert len(changed) == 2 * SAM_RUNS  # each run's metrics and Snakemake's record of them, nothing else


def test_a_later_change_is_noticed_and_a_second_adoption_is_recorded_beside_the_first(edited):
    change_sams_code(edited)
    run = f"{WEAK}/sam-rho0.5/seed0"
    adopted(edited, "--run", run)
    assert stale(edited) == {"train": SAM_RUNS - 1}
    edited.edit(SAM, "EPSILON = 1e-11", "EPSILON = 1e-10")
    assert stale(edited) == {"train": SAM_RUNS}
    adopted(edited, "--run", run)
    assert len(metrics(edited, run)[1]["adopted"]) == 2
    assert f"current: {run}" in adopted(edited, "--run", run)
    assert len(metrics(edited, run)[1]["adopted"]) == 2


def test_the_figure_tells_of_the_adoption(edited):
    change_sams_code(edited)
    adopted(edited, "--method", "sam")
    edited.made("results/tiny/figures/fig9.parquet", "--cores", "1")
    _, description = parquet.read(edited.folder / "results/tiny/figures/fig9.parquet")
    assert description["runs"][f"{WEAK}/sam-rho0.5/seed0"]["adopted"][0]["by"] == "Ada"


def test_a_dry_run_changes_nothing(edited):
    change_sams_code(edited)
    before = state(edited.folder)
    assert f"to adopt: {WEAK}/sam-rho0.5/seed0" in adopted(edited, "--method", "sam", "--dry-run")
    assert state(edited.folder) == before


def test_another_learning_rate_is_refused_and_nobody_adopted(edited):
    change_sams_code(edited)
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["sam"].update(lr=0.04))
    printed = refused(edited, "--method", "sam")
    why = "'hyperparameters.lr' is 0.01 in its record but 0.04 in the plan"
    assert f"refused: {WEAK}/sam-rho0.5/seed0: {why}" in printed
    assert f"2 of {SAM_RUNS} selected runs" in printed


def test_other_labels_are_refused(edited):
    change_sams_code(edited)
    labels = next((edited.folder / "results/tiny/labels").rglob("weak_annotator-seed0.parquet"))
    table, metadata = parquet.read(labels)
    parquet.write(labels, table, {**metadata, "note": "made anew"})
    assert "made from other data, labels or posterior" in refused(edited, "--run", f"{WEAK}/sam-rho0.5/seed0")


def test_labels_that_are_to_be_made_anew_are_refused_and_stay_so(edited):
    change_sams_code(edited)
    path = edited.folder / "workflow/adaptive_smoothing/data/corruption.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert "is to be made anew first" in refused(edited, "--run", f"{WEAK}/sam-rho0.5/seed0")


def test_posterior_and_label_noise_are_adopted_with_their_run(edited):
    path = edited.folder / "workflow/adaptive_smoothing/methods/ols.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert stale(edited) == {"train_keeping_posterior": 2, "measure_label_noise": 2}
    adopted(edited, "--method", "ols")
    assert stale(edited) == {}
    folder = edited.folder / "results/tiny/runs/digits-small_cnn/clean/ols/seed0-posterior"
    assert parquet.read(folder / "label_noise-samples2.parquet")[1]["adopted"][0]["by"] == "Ada"


def test_a_change_of_the_measurement_alone_adopts_the_measurement(edited):
    path = edited.folder / "workflow/adaptive_smoothing/theory/label_noise.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert stale(edited).keys() == {"measure_label_noise"}
    adopted(edited, "--method", "ols", "ivon", "ls", "sam")
    assert stale(edited) == {}
    folder = edited.folder / "results/tiny/runs/digits-small_cnn/clean/ols/seed0-posterior"
    assert "adopted" not in parquet.read(folder / "metrics.parquet")[1]


def test_a_renamed_hyperparameter_copies_the_old_results(edited):
    old_table, old = metrics(edited, f"{WEAK}/sam-rho0.5/seed0")
    before = state(edited.folder)
    rename_rho(edited)
    assert stale(edited) == {"train": SAM_RUNS}
    adopted(edited, "--method", "sam", "--rename", "rho=radius")
    assert stale(edited) == {}
    run = f"{WEAK}/sam-radius0.5/seed0"
    table, new = metrics(edited, run)
    assert new["specification"]["hyperparameters"]["radius"] == old["specification"]["hyperparameters"]["rho"] == 0.5
    assert new["adopted"][0]["renamed"] == {"rho": "radius"}
    assert new["adopted"][0]["run"] == f"{WEAK}/sam-rho0.5/seed0"
    frame = old_table.to_pandas().rename(columns={"rho": "radius"}).assign(run=run)
    assert table.to_pandas().equals(frame)
    after = state(edited.folder)
    assert before.items() <= after.items()  # the old results still stand as they were
    edited.edit(SAM, "EPSILON = 1e-12", "EPSILON = 1e-11")
    assert stale(edited) == {"train": SAM_RUNS}


def test_a_rename_takes_posterior_and_label_noise_along(edited):
    """`alpha` stands in the names of LS's runs, and some of them keep their posterior."""
    path = "workflow/adaptive_smoothing/methods/ls.py"
    text = (edited.folder / path).read_text()
    (edited.folder / path).write_text(text.replace("    alpha:", "    smoothing:").replace(".alpha", ".smoothing"))

    def change(scale):
        for figure in [*scale["figures"].values(), *scale["extras"].values()]:
            for grid in figure.get("runs", []):
                if "ls" in grid["methods"]:
                    grid["methods"]["ls"] = {"smoothing": grid["methods"]["ls"]["alpha"]}

    edited.change(change)
    adopted(edited, "--method", "ls", "--rename", "alpha=smoothing")
    assert stale(edited) == {}
    runs = edited.folder / "results/tiny/runs/digits-small_cnn/clean"
    old, new = runs / "ls-alpha0.1/seed0-posterior", runs / "ls-smoothing0.1/seed0-posterior"
    assert (old / "posterior.pt").read_bytes() == (new / "posterior.pt").read_bytes()
    table, record = parquet.read(new / "label_noise-samples2.parquet")
    assert table.equals(parquet.read(old / "label_noise-samples2.parquet")[0])
    assert record["run"] == "digits-small_cnn/clean/ls-smoothing0.1/seed0-posterior"


def test_a_hyperparameter_that_is_not_in_the_runs_name_is_renamed_in_place(edited):
    edited.edit(SAM, "    batch_norm: Literal", "    statistics: Literal")
    edited.edit(SAM, "hyperparameters.batch_norm", "hyperparameters.statistics")

    def change(scale):
        for setup in scale["setups"].values():
            setup["methods"]["sam"]["statistics"] = setup["methods"]["sam"].pop("batch_norm")

    edited.change(change)
    printed = refused(edited, "--method", "sam")
    assert "'hyperparameters.batch_norm' is \"first_pass\" in its record but absent in the plan" in printed
    adopted(edited, "--method", "sam", "--rename", "batch_norm=statistics")
    assert stale(edited) == {}
    assert "statistics" in metrics(edited, f"{WEAK}/sam-rho0.5/seed0")[0].column_names


def test_a_rename_onto_a_value_that_differs_finds_nothing(edited):
    rename_rho(edited)
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["sam"].update(lr=0.04))
    run = f"{WEAK}/sam-radius0.5/seed0"
    assert f"refused: {run}: it has no results" in refused(edited, "--run", run, "--rename", "rho=radius")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", f"{WEAK}/sam-rho0.51/seed0"], f"did you mean '{WEAK}/sam-rho0.5/seed0'?"),
        (["--method", "sum"], "unknown method 'sum' (did you mean 'sam'?); legal: ivon, ls, ols, sam"),
        (["--method", "sam", "--rename", "rho=radius"], "unknown hyper-parameter 'radius'"),
        (["--method", "sam", "--rename", "rho"], "--rename 'rho' is not OLD=NEW"),
    ],
)
def test_mistakes_are_one_sentence(finished, arguments, message):
    assert message in refused(finished, *arguments)


def test_nobody_cannot_adopt(finished):
    assert "--by and --reason must say" in refused(finished, "--method", "sam", by=" ")
