"""The journal: what survives a Snakemake that was killed, at any moment."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from snakemake_executor_plugin_submitit.journal import InUse, Journal, JournalTask, Submission


def submission(token="t", count=2):
    tasks = [JournalTask(f"key{index}", (f"out{index}",), index) for index in range(count)]
    return Submission(token, f"smk-make-{token}", "make", "/folder", "slurm", 1.0, tasks)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def reopened(path):
    journal = Journal(path)
    live = journal.live()
    journal.close()
    return live


def test_what_is_under_way_is_found_again(path):
    journal, one, two = Journal(path), submission("one"), submission("two", count=1)
    journal.submit(one)
    one.job_id = "7"
    journal.accepted(one)
    journal.submit(two)
    journal.ended(one, [0])
    journal.cancelled(one, [1])
    journal.close()
    found = reopened(path)
    assert [(each.token, each.job_id) for each in found] == [("one", "7"), ("two", None)]
    assert [task.index for task in found[0].live] == [1]
    assert found[0].cancelled == {1}
    assert found[0].external_id(1) == "7_1"
    assert found[0].tasks == one.tasks
    assert reopened(path)[0] == found[0]  # the rewritten file says the same


def test_what_is_over_is_dropped_so_that_the_file_does_not_grow(path):
    for run in range(3):
        journal, one = Journal(path), submission(f"run{run}")
        journal.submit(one)
        one.job_id = "7"
        journal.accepted(one)
        journal.ended(one, [0, 1])
        journal.close()
        assert reopened(path) == []
        assert path.read_text() == ""


@pytest.mark.parametrize("lost", range(0, 200, 7))
def test_a_line_that_was_cut_short_costs_only_itself(path, lost):
    journal, one = Journal(path), submission("one")
    journal.submit(one)
    journal.submit(submission("two"))
    journal.close()
    text = path.read_text()
    path.write_text(text[: len(text) - 2 - lost])
    journal = Journal(path)
    journal.submit(submission("three"))
    journal.close()
    assert [each.token for each in reopened(path)] == ["one", "three"]


def test_a_second_snakemake_is_refused(path):
    journal = Journal(path)
    with pytest.raises(InUse, match=f"in use by process {os.getpid()}"):
        Journal(path)
    journal.close()
    Journal(path).close()


def test_a_killed_snakemake_leaves_no_lock(path):
    code = (
        "import os; from pathlib import Path; from snakemake_executor_plugin_submitit.journal import Journal\n"
        f"journal = Journal(Path({str(path)!r})); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    Journal(path).close()


def test_a_full_disk_stops_a_submission_but_no_news(path, monkeypatch):
    journal, one = Journal(path), submission("one")
    journal.submit(one)
    write = os.write
    monkeypatch.setattr(os, "write", lambda *arguments: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        journal.submit(submission("two"))
    one.job_id = "9"
    journal.accepted(one)
    monkeypatch.setattr(os, "write", write)
    journal.close()
    assert [(each.token, each.job_id) for each in reopened(path)] == [("one", "9")]


def test_a_task_of_an_array_of_one_has_the_jobs_id():
    assert replace(submission(count=1), job_id="7").external_id(0) == "7"
