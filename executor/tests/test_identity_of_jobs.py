"""A job id alone proves nothing: only what SLURM confirms by name, user and folder is asked about or cancelled."""

import logging
import os
from dataclasses import replace

import pytest

from snakemake_executor_plugin_submitit import slurm
from snakemake_executor_plugin_submitit.journal import Journal, JournalTask, Submission
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.reattach import without_copied
from snakemake_executor_plugin_submitit.records import Handle, Record, parse_records, whole_ids
from snakemake_executor_plugin_submitit.slurm import Commands, Slurm, ids_to_cancel

UID = os.getuid()
OWN = Record("RUNNING", str(UID), "None", "n1", "smk-train-abc|/home/a/p")
HANDLE = Handle("7", "smk-train-abc", "/home/a/p")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (OWN, True),
        (replace(OWN, uid=str(UID + 1)), False),
        (replace(OWN, texts="precious|/home/a/p"), False),
        (replace(OWN, texts="smk-train-abcdef|/home/a/p"), False),
        (replace(OWN, texts="smk-train-abc|/home/a/copy"), False),
        (replace(OWN, texts="smk-train-abc"), False),
    ],
)
def test_name_user_and_folder_must_be_those_of_the_submission(record, expected):
    assert record.is_of(HANDLE, UID) is expected


def test_two_names_of_one_folder_are_the_same(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    record = replace(OWN, texts=f"smk-train-abc|{tmp_path}/real")
    assert record.is_of(replace(HANDLE, workdir=f"{tmp_path}/link"), UID)


def test_a_journal_of_an_older_version_has_no_folder():
    assert OWN.is_of(replace(HANDLE, workdir=""), UID)


def line(job_id, state="RUNNING", name="smk-train-abc", uid=UID):
    return f"{job_id}|{state}|{uid}|None|n1|{name}|/home/a/p"


def test_records_of_arrays_are_read():
    text = "\n".join([line("12_3"), line("12_[4-6,9%2]", "PENDING"), "CLUSTER: x", line("12_1", "CANCELLED by 1000")])
    states = {job_id: record.state for job_id, record in parse_records(text).items()}
    pending = {f"12_{index}": "PENDING" for index in (4, 5, 6, 9)}
    assert states == {"12_3": "RUNNING", **pending, "12_1": "CANCELLED by 1000"}
    assert parse_records(line("7", name="a|b"))["7"].texts == "a|b|/home/a/p"
    assert whole_ids(["12_0", "12_1", "7", "13_0"]) == ["12", "7", "13"]


@pytest.mark.parametrize(
    ("lines", "mine", "expected"),
    [
        ([line("7_0"), line("7_1", "PENDING")], [0, 1], ["7"]),
        ([line("7_0"), line("7_1"), line("7_2", "COMPLETED")], [0, 1, 2], ["7"]),
        ([line("7_0"), line("7_1"), line("7_2")], [0, 2], ["7_0", "7_2"]),
        ([line("7_0"), line("7_1", name="precious")], [0, 1], ["7_0"]),
        ([line("7_0", name="precious"), line("7_1", uid=UID + 1)], [0, 1], []),
        ([line("7_0", "FAILED")], [0], []),
        ([], [0], []),
    ],
)
def test_only_confirmed_jobs_are_cancelled_and_whole_arrays_by_one_id(lines, mine, expected):
    handles = [replace(HANDLE, id=f"7_{index}") for index in mine]
    assert ids_to_cancel(handles, parse_records("\n".join(lines)), UID) == expected


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Return SLURM as scripts play it: squeue prints squeue.txt, sacct sacct.txt; scancel notes its arguments."""
    for name, script in {
        "squeue": f"cat {tmp_path}/squeue.txt",
        "sacct": f"cat {tmp_path}/sacct.txt",
        "scancel": f'echo "$@" >>{tmp_path}/scancel.txt',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Slurm(Commands(10, Messages(logging.getLogger("test"))))


def test_another_job_with_the_same_id_is_neither_adopted_nor_cancelled(cluster, tmp_path):
    (tmp_path / "squeue.txt").write_text(line("7", "COMPLETED", name="precious") + "\n")
    (tmp_path / "sacct.txt").write_text(line("7", "COMPLETED", uid=UID + 1) + "\n")
    answer = cluster.states([HANDLE], 1e9)
    assert answer.complete and answer.states == {} and answer.strangers == {"7"}
    cluster.cancel([HANDLE])
    assert not (tmp_path / "scancel.txt").exists()


def test_the_accounting_knows_a_job_whose_id_squeue_shows_for_another(cluster, tmp_path):
    (tmp_path / "squeue.txt").write_text(line("7", name="precious") + "\n")
    (tmp_path / "sacct.txt").write_text(line("7", "FAILED") + "\n")
    answer = cluster.states([HANDLE], 1e9)
    assert answer.states == {"7": "FAILED"} and answer.strangers == set()


def test_one_byte_in_another_encoding_hides_no_state(cluster, tmp_path):
    (tmp_path / "squeue.txt").write_text(line("7") + "\n")
    (tmp_path / "squeue").write_text(
        f"#!/bin/sh\nprintf '\\344\\n' >&2; printf '\\344\\n'; cat {tmp_path}/squeue.txt\n"
    )
    assert cluster.states([HANDLE], 1e9).states == {"7": "RUNNING"}


def test_while_squeue_fails_scancel_compares_names(cluster, tmp_path):
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    cluster.cancel([HANDLE, replace(HANDLE, id="8"), Handle("9", "smk-x-1")])
    lines = (tmp_path / "scancel.txt").read_text().splitlines()
    assert lines == ["--me --name=smk-train-abc 7 8", "--me --name=smk-x-1 9"]


def test_a_job_of_the_same_name_is_found_only_if_it_is_this_users(cluster, tmp_path):
    (tmp_path / "squeue.txt").write_text(f"8|{UID + 1}\n")
    assert cluster.find("smk-train-abc") is None
    (tmp_path / "squeue.txt").write_text(f"8|{UID + 1}\n12|{UID}\n12|{UID}\n")
    assert cluster.find("smk-train-abc") == "12"


def test_a_submission_knows_whether_the_folder_is_a_copy(tmp_path):
    base = tmp_path / "orig/.snakemake/submitit"
    one = Submission("t", "smk-train-t", "train", str(base / "RUN/train"), "slurm", 1.0, [])
    (base / "RUN/train").mkdir(parents=True)
    assert one.is_below(base)
    (tmp_path / "mount").symlink_to("orig")
    assert one.is_below(tmp_path / "mount/.snakemake/submitit")
    assert not one.is_below(tmp_path)
    (tmp_path / "orig").rename(tmp_path / "copy")
    assert not one.is_below(tmp_path / "copy/.snakemake/submitit")


def test_a_copied_journal_is_set_aside_and_an_own_one_begins(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    tasks = [JournalTask("key", ("out",), 0)]
    copied = Submission("t", "smk-train-t", "train", "/home/a/orig/.snakemake/submitit/RUN/train", "slurm", 1.0, tasks)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.submit(copied)
    messages = Messages(logging.getLogger("test"))
    assert without_copied(journal.live(), journal, messages) == []
    assert "is a copy of /home/a/orig/.snakemake/submitit's, whose jobs are left alone" in caplog.text
    assert journal.live() == [] and journal.path.read_text() == ""
    journal.close()


def test_what_identifies_a_job_survives_the_journal(tmp_path):
    tasks = [JournalTask("key", ("out",), 0, newest_input=3.0)]
    one = Submission("t", "smk-train-t", "train", "/f/RUN/train", "slurm", 1.0, tasks, workdir="/home/a/p", site="big")
    journal = Journal(tmp_path / "journal.jsonl")
    journal.submit(one)
    assert journal.live() == [one]
    journal.close()


def test_the_clusters_name_is_its_site(cluster, tmp_path):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'ClusterName             = big'\n")
    (tmp_path / "scontrol").chmod(0o755)
    assert cluster.site() == "big" and cluster.max_array_size() == slurm.DEFAULT_MAX_ARRAY_SIZE
