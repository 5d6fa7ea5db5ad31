"""`smoothing smoke`: the archives first, then Snakemake twice, and its exit status at the end."""

from pathlib import Path

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, snakemake_cli
from adaptive_smoothing.pipeline.commands import cli
from adaptive_smoothing.pipeline.commands.smoke import archives, command

ROOT = Path(__file__).parents[2]


@pytest.fixture
def calls(monkeypatch):
    """Return the list of what a smoke test does; Snakemake's exit statuses are popped from `calls.statuses`."""

    class Calls(list):
        statuses = (0, 0)

        def run(self, *arguments):
            self.append(arguments)
            return self.statuses[len(self) - 2]

    done = Calls()
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(archives, "write", lambda scale, where: done.append((scale.data_variant, where)))
    monkeypatch.setattr(snakemake_cli, "run", done.run)
    return done


THREADS = ("--set-threads", "train=1", "train_keeping_posterior=1", "measure_label_noise=1")


def test_fig_9_is_made_first_with_all_its_threads(calls):
    assert cli.main(["smoke", "--cores", "3"]) == 0
    assert calls == [
        ("rehearsal", "config/rehearsal.yaml"),
        ("paper_figures/rehearsal/fig9.pdf", "--cores", "3"),
        ("rehearsal", "--cores", "3", *THREADS),
    ]


def test_all_cores_are_used_where_none_are_named(calls):
    command.smoke()
    assert [arguments[1:3] for arguments in calls[1:]] == 2 * [("--cores", "all")]


@pytest.mark.parametrize(("statuses", "number"), [((1, 0), 1), ((0, 1), 2)])
def test_a_failing_snakemake_ends_it_with_that_exit_status(calls, statuses, number):
    calls.statuses = statuses
    assert cli.main(["smoke"]) == 1
    assert len(calls) == 1 + number


def test_archives_that_cannot_be_written_end_it_before_snakemake(calls, monkeypatch, capsys):
    def refuse(scale, where):
        raise UserError("the disk is full")

    monkeypatch.setattr(archives, "write", refuse)
    assert cli.main(["smoke"]) == 1
    assert calls == []
    assert capsys.readouterr().err == "error: the disk is full\n"


def test_the_rules_whose_threads_it_sets_are_there():
    rules = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")} | {"train_keeping_posterior"}
    assert {setting.partition("=")[0] for setting in command.ONE_THREAD} <= rules
    assert command.FIRST in plan.Plan(command.SCALE, ROOT / "config").figures
