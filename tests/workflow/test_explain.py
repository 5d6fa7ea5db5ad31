"""What `smoothing why` says after each kind of edit; how many jobs there are, Snakemake says."""

import os
import re
import subprocess
import sys

import pytest

from adaptive_smoothing.core import parquet

LIBRARY = "workflow/adaptive_smoothing"


def asked(project, *arguments):
    """Return the ended `why`, which must have made nothing."""
    before = sorted(project.folder.rglob("results/**"))
    done = project.smoothing("why", *arguments)
    assert sorted(project.folder.rglob("results/**")) == before
    return done


def why(project, *figures):
    """Return what `why` prints for the tiny scale: figure → (runs up to date, runs to make, why in one line)."""
    done = asked(project, "tiny", *figures)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.partition("\n\n")[0].splitlines()
    assert lines[0].split() == ["figure", "up", "to", "date", "to", "make", "why"]
    assert max(map(len, lines)) <= 100
    table, name = {}, ""
    for line in lines[1:]:
        if row := re.match(r"(\w+) +(\d+) +(\d+) *(.*)", line):
            name, done_runs, to_make, reason = row.groups()
            table[name] = (int(done_runs), int(to_make), reason)
        else:
            table[name] = (*table[name][:2], f"{table[name][2]} {line.strip()}")
    return table


def changed_code(project, module):
    """Change the code of a library module."""
    path = project.folder / LIBRARY / module
    path.write_text(path.read_text() + "\nUNUSED = 1\n")


def planned_trainings(project, *targets):
    """Return how many trainings a dry run plans."""
    jobs = project.would_run(*(targets or ["tiny"]))
    return jobs.get("train", 0) + jobs.get("train_keeping_posterior", 0)


def stale(table):
    """Return the rows in which something is to be done."""
    return {name: row for name, row in table.items() if row[2] != "up to date" and name != "total"}


def test_up_to_date(finished):
    for figures in ([], ["fig7"], ["fig2", "fig2"]):
        assert asked(finished, "tiny", *figures).stdout == "everything is up to date\n"


def test_sams_code(edited):
    changed_code(edited, "methods/sam.py")
    table = why(edited)
    reason = f"SAM's code changed: {LIBRARY}/methods/sam.py"
    assert stale(table) == {
        "fig5": (6, 4, reason),
        "fig7": (6, 4, reason),
        "fig8": (6, 4, reason),
        "fig9": (3, 2, reason),
        "extra_calibration": (6, 4, reason),
        "extra_memorisation": (6, 4, reason),
        "extra_cost": (6, 4, reason),
    }
    assert table["total"][1] == 14 == planned_trainings(edited)


def test_the_runs_to_make_are_those_of_snakemakes_summary(edited):
    """Two answers of Snakemake, read in two ways: the jobs of its dry run, and the stale files of its summary."""
    changed_code(edited, "methods/ols.py")
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["ivon"].update(lr=0.4))
    (edited.folder / "results/tiny/figures/fig6.parquet").unlink()
    (edited.folder / "results/tiny/runs/digits-small_cnn/symmetric20/ivon/seed0/metrics.parquet").unlink()
    code = "from adaptive_smoothing.pipeline.snakemake_cli import dry_run; print(*dry_run(['tiny']), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(edited.folder / "workflow")}
    command = [sys.executable, "-c", code]
    ours = subprocess.run(command, cwd=edited.folder, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in edited.snakemake("tiny", "--summary").stdout.splitlines()[1:]]
    pending = {row[0] for row in rows if row[-1] == "update pending"}
    assert set(ours.stdout.split()) == pending
    assert sum(file.endswith("metrics.parquet") for file in pending) == why(edited)["total"][1] == 2 + 1 + 1


def test_code_that_all_runs_reach_counts_shared_runs_once(edited):
    changed_code(edited, "training/schedules.py")
    table = why(edited)
    assert {row[2] for row in stale(table).values()} == {f"code of all runs changed: {LIBRARY}/training/schedules.py"}
    assert table["total"] == (0, planned_trainings(edited), "runs that figures share are counted once")
    assert table["total"][1] < sum(row[1] for name, row in table.items() if name != "total")


def test_a_new_kappa_and_a_new_seed(edited):
    def change(scale):
        scale["noises"]["kappa0.45"] = {"kind": "class_dependent", "kappa": 0.45, "beta": 0.05}
        scale["figures"]["fig7"]["runs"][0]["noises"].append("kappa0.45")
        scale["figures"]["fig9"]["runs"][0]["seeds"] = [0, 1]
        scale["figures"]["fig9"]["runs"][0]["methods"]["sam"]["rho"].append(0.7)

    edited.change(change)
    table = why(edited)
    assert table["fig7"] == (10, 5, "new: κ = 0.45")
    assert table["fig9"] == (5, 7, "5 × new: seed 1 1 × new: ρ = 0.7 of SAM 1 × new: ρ = 0.7 of SAM, seed 1")
    assert stale(table).keys() == {"fig7", "fig9"}
    assert table["total"][1] == planned_trainings(edited)


def test_a_learning_rate(edited):
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["ivon"].update(lr=0.4))
    table = why(edited)
    assert stale(table) == {"fig9": (4, 1, "learning rate of IVON on digits_weak: 0.3 → 0.4")}
    assert table["total"][1] == planned_trainings(edited)


def test_only_the_drawing(edited):
    changed_code(edited, "figures/fig7.py")
    table = why(edited)
    assert stale(table) == {"fig7": (10, 0, f"drawing: its code changed: {LIBRARY}/figures/fig7.py")}
    assert table["total"][1] == 0 == planned_trainings(edited)


def test_only_the_table(edited):
    def change(scale):
        scale["figures"]["fig5"]["title"] = "Another title"
        scale["figures"]["fig7"]["runs"][0]["noises"].pop()

    edited.change(change)
    table = why(edited)
    assert table["fig5"] == (10, 0, "table: changed: title")
    assert table["fig7"] == (5, 0, "table: changed: noises, 5 runs fewer")
    assert stale(table).keys() == {"fig5", "fig7"}
    assert planned_trainings(edited) == 0


def test_dataset_and_labels(edited):
    dataset = next((edited.folder / "data").glob("digits_weak-*/meta.json"))
    dataset.write_text(dataset.read_text() + "\n")
    labels = next((edited.folder / "results/tiny/labels").rglob("kappa0.1-*.parquet"))
    table, metadata = parquet.read(labels)
    parquet.write(labels, table, {**metadata, "changed": True})
    rows = why(edited)
    assert rows["fig9"] == (0, 5, "dataset changed")
    assert rows["fig7"] == (5, 5, "labels changed")
    assert rows["total"][1] == planned_trainings(edited)


def test_damaged_and_deleted_results(edited):
    runs = edited.folder / "results/tiny/runs/digits_weak-small_cnn/weak_annotator"
    damaged = runs / "sam-rho0.5/seed0/metrics.parquet"
    damaged.write_bytes(damaged.read_bytes()[:200])
    (runs / "ivon/seed0/metrics.parquet").unlink()
    rows = why(edited)
    name = "digits_weak-small_cnn/weak_annotator/sam-rho0.5/seed0"
    assert rows["fig9"] == (4, 1, "its results are missing: interrupted or deleted")
    told = asked(edited, "tiny", "fig9").stdout
    assert f"results/tiny/runs/{name}/metrics.parquet\n      its record cannot be read\n" in told
    assert "'snakemake --cores 2 tiny' makes them again" in told
    changed_code(edited, "methods/sam.py")
    rows = why(edited, "fig9")
    assert "1 × damaged record" in rows["fig9"][2]
    assert rows["fig9"][:2] == (2, 3)
    assert planned_trainings(edited, "results/tiny/figures/fig9.parquet") == 3


def test_only_the_notes(edited):
    (edited.folder / "results/tiny/notes.md").unlink()
    assert re.search(r"^notes +does not exist$", asked(edited, "tiny").stdout, re.MULTILINE)
    assert asked(edited, "tiny", "fig7").stdout == "everything is up to date\n"


def test_nothing_made_yet(project):
    table = why(project)
    trained = {name: row for name, row in table.items() if row[1] and name != "total"}
    extras = {"extra_calibration", "extra_memorisation", "extra_cost"}  # from the runs of Fig. 5
    assert trained.keys() == {*(f"fig{number}" for number in range(3, 11)), *extras}
    assert {row[2] for row in trained.values()} == {"never made"}
    assert table["fig2"] == (0, 0, "table: does not exist")
    assert table["total"] == (0, planned_trainings(project), "runs that figures share are counted once")
    assert why(project, "fig7") == {
        "fig7": (0, planned_trainings(project, "results/tiny/figures/fig7.parquet"), "never made")
    }


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["tiny", "fig11"], 2, "error: config/tiny.yaml: unknown figure 'fig11' (did you mean 'fig10'?)"),
        (["tinny"], 2, "error: config: unknown scale 'tinny' (did you mean 'tiny'?)"),
        (["broken"], 1, "error: config/broken.yaml: is not YAML"),
    ],
)
def test_a_mistake_is_one_sentence(project, arguments, status, expected):
    broken = project.folder / "config/broken.yaml"
    broken.write_text("a: [")
    try:
        done = asked(project, *arguments)
    finally:
        broken.unlink()
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1


def test_code_that_cannot_be_read_is_one_sentence(edited):
    (edited.folder / LIBRARY / "methods/sam.py").write_text("def half(")
    done = asked(edited, "tiny")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ") and "sam.py" in done.stderr


def test_neither_pandas_nor_torch_is_imported(project, tmp_path):
    for package in ("torch", "pandas", "matplotlib", "sklearn"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('why must not import this')\n")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import adaptive_smoothing.pipeline.commands.explain"
    environment = {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)
