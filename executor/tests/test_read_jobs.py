"""What other programs may read of the jobs that are on the cluster."""

import random
from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit.journal import Journal, JournalTask, Submission
from snakemake_executor_plugin_submitit.status import JobStatus, read_jobs


@pytest.fixture
def journal(tmp_path):
    """Return a journal with an array of three jobs and a single one that has no id yet."""
    journal = Journal(tmp_path / "journal.jsonl")
    tasks = [JournalTask(f"key{index}", (f"out{index}.txt",), index, 0, f"n={index}") for index in range(3)]
    array = Submission("one", "smk-make-one", "make", "/logs/make", "slurm", 1.5, tasks)
    journal.submit(array)
    array.job_id = "77"
    journal.accepted(array)
    journal.ended(array, [0])
    journal.cancelled(array, [2])
    journal.submit(Submission("two", "smk-x-two", "x", "/logs/x", "slurm", 2.5, [JournalTask("key", ("x.txt",), 0)]))
    yield journal
    journal.close()


def test_jobs_and_their_states(journal, tmp_path):
    jobs = read_jobs(tmp_path)  # though another process holds the journal's lock
    assert [(job.job_id, job.state, job.under_way) for job in jobs] == [
        ("77_0", "ended", False),
        ("77_1", "submitted", True),
        ("77_2", "cancelled", False),
        (None, "submitting", True),
    ]
    log = Path("/logs/make/77_1_0_log.err")
    assert jobs[1] == JobStatus("make", "n=1", ("out1.txt",), "slurm", "77_1", log, "submitted", 1.5)
    assert jobs[3].log is None and jobs[3].wildcards == ""


def test_nothing_is_written(journal, tmp_path):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    read_jobs(tmp_path)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == before


def test_without_a_journal_there_are_no_jobs(tmp_path):
    assert read_jobs(tmp_path / "nowhere") == [] == read_jobs(str(tmp_path))
    (tmp_path / "journal.jsonl").mkdir()
    assert read_jobs(tmp_path) == []


def test_a_journal_of_another_version(journal, tmp_path):
    """An older one knows no wildcards; a newer one may know more."""
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text().replace(', "wildcards": "n=1"', "").replace('"wildcards": "n=2"', '"newer": 1'))
    assert [job.wildcards for job in read_jobs(tmp_path)] == ["n=0", "", "", ""]


@pytest.mark.parametrize("line", ["[1]", '"do"', "null", '{"do": "id"}', '{"do": "id", "token": []}', "[" * 100_000])
def test_a_line_that_is_no_record_is_left_out(journal, tmp_path, line):
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(f"{line}\n")
    assert len(read_jobs(tmp_path)) == 4


def test_a_damaged_journal_is_read_as_far_as_it_goes(journal, tmp_path):
    path, chance = tmp_path / "journal.jsonl", random.Random(0)
    whole = path.read_bytes()
    counts = set()
    for _ in range(200):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        jobs = read_jobs(tmp_path)
        counts.add(len(jobs))
        assert all(isinstance(job.since, float) and isinstance(job.rule, str) for job in jobs)
    assert counts >= {0, 3}  # an array is one line
