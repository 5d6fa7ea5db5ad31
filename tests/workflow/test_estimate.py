"""`smoothing estimate`: what is to make is what Snakemake says."""

import re

import pytest
from conftest import copied

TABLES = ["results/tiny/figures/fig9.parquet", "results/tiny/figures/fig5.parquet"]


def estimate(project, *arguments):
    return project.smoothing("estimate", *arguments)


def rows(text):
    """Return figure → (runs, done, to make)."""
    found = re.findall(r"^ (fig\d+|all.*?) +(\d+) +(\d+) +(\d+)\b", text, re.MULTILINE)
    return {name: tuple(map(int, numbers)) for name, *numbers in found}


def two_figures(scale):
    """Leave Figs. 9 and 5 alone in a scale, and let the latter draw IVON and the former's runs of SAM."""
    fig9, fig5 = (scale["figures"][name] for name in ("fig9", "fig5"))
    (grid,), (own,) = fig9["runs"], fig5["runs"]
    fig5["runs"] = [{**own, "methods": {"ivon": {}}}, {**grid, "methods": {"sam": grid["methods"]["sam"]}}]
    scale.update(figures={"fig9": fig9, "fig5": fig5}, extras={})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a project with the tables of two figures, all that its tiny scale has."""
    project = copied(tmp_path_factory.mktemp("trained"))
    project.change(two_figures)
    project.made(*TABLES, "--cores", "2")
    return project


def test_what_is_stale_is_to_make_and_costs_what_it_cost(trained):
    assert estimate(trained, "tiny", "--profile-seconds", "0").stdout.endswith("is up to date\n\n")
    path = trained.folder / "workflow/adaptive_smoothing/methods/sam.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    done = estimate(trained, "tiny", "--profile-seconds", "0")
    assert rows(done.stdout) == {"fig9": (5, 3, 2), "fig5": (4, 2, 2), "all, shared runs once": (7, 5, 2)}
    assert trained.would_run(*TABLES)["train"] == 2
    assert re.search(r"^ digits_weak, sam +2 +\S+ s +\S+ s +2 past runs on cpu$", done.stdout, re.MULTILINE)
    assert "measured here" not in done.stdout and "figures sum to more than the total" in done.stdout
    assert rows(estimate(trained, "tiny", "fig9", "--profile-seconds", "0").stdout) == {"fig9": (5, 3, 2)}


def test_steps_are_measured_where_nothing_was_ever_made(project):
    done = estimate(project, "tiny", "fig3", "--profile-seconds", "5")
    assert rows(done.stdout) == {"fig3": (1, 0, 1)}
    measured = re.findall(r"^ digits, ivon.* s +\S+ s +measured here: \d steps?.* on cpu", done.stdout, re.MULTILINE)
    assert len(measured) == 2
    assert not (project.folder / "data").exists()


@pytest.mark.parametrize(
    ("scale", "figure", "runs"), [("small", "fig7", 105), ("laptop", "fig7", 105), ("rehearsal", "fig9", 5)]
)
def test_every_scale(project, scale, figure, runs):
    done = estimate(project, scale, figure, "--profile-seconds", "0")
    assert rows(done.stdout) == {figure: (runs, 0, runs)}, done.stderr
    assert f"{runs} jobs whose cost is unknown" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["tiny", "fig11"], 2, "error: config/tiny.yaml: unknown figure 'fig11' (did you mean 'fig10'?)"),
        (["tinny"], 2, "error: config: unknown scale 'tinny' (did you mean 'tiny'?)"),
        (
            ["tiny", "--device", "H100"],
            1,
            "error: the devices of past runs and this machine's: unknown device 'H100'; legal: ",
        ),
    ],
)
def test_a_mistake_is_one_sentence(project, arguments, status, expected):
    done = estimate(project, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert done.stderr.startswith(expected)
