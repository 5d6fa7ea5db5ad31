"""submitit-doctor with programs that only look like SLURM's: no misuse and no failure ends in a traceback."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from snakemake_executor_plugin_submitit import doctor, processes
from snakemake_executor_plugin_submitit.checks import arrays, partitions, preemption, requeues

CONFIGURATION = """\
MaxArraySize            = 1001
MaxJobCount             = 10000
SLURM_VERSION           = 22.05.8
"""
# Runs what is wrapped at once, as a cluster does some seconds later.
SBATCH = """\
for word; do case $word in --wrap=*) sh -c "${word#--wrap=}" ;; esac; done
echo "$*" >>"$NOTES"
echo 'welcome to this cluster'
echo '17;main'
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Return a function that replaces one of SLURM's programs, all of which answer at first."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def replace(name, script):
        path = programs / name
        path.write_text(f"#!/bin/sh\nNOTES={programs}/{name}.notes\n{script}\n")
        path.chmod(0o755)
        return programs / f"{name}.notes"

    for name in ("squeue", "sacct", "srun"):
        replace(name, "true")
    replace("scontrol", f"cat <<END\n{CONFIGURATION}END")
    replace("sinfo", "echo 'gpu*|infinite|gpu:2|up'")
    replace("scancel", 'echo "$*" >>"$NOTES"')
    replace("sbatch", SBATCH)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if re.match("SLURM_|SBATCH_", name)]:
        monkeypatch.delenv(variable)
    return replace


def test_a_healthy_cluster(slurm, capsys, tmp_path):
    notes = slurm("sbatch", SBATCH)
    assert doctor.main(["--", "--partition=gpu", "-A", "lab"]) == 0
    text = capsys.readouterr().out
    for sentence in ("SLURM 22.05.8", "arrays of up to 1001 jobs", "partition gpu*: gpu:2", "ran this Python"):
        assert sentence in text
    assert "--partition=gpu -A lab" in notes.read_text()
    assert not (tmp_path / ".snakemake").exists()  # nothing is left, and the job is not forgotten
    assert (tmp_path / "programs/scancel.notes").read_text() == "17\n"


def test_json(slurm, capsys):
    assert doctor.main(["--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["healthy"] and {finding["grade"] for finding in answer["findings"]} <= {"ok", "note"}
    slurm("scontrol", "echo 'connect failure' >&2; exit 1")
    assert doctor.main(["--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["healthy"] and answer["findings"][-1]["text"] == "slurmctld does not answer: connect failure"


def test_without_slurm(slurm, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.main([]) == 1
    assert "run this on a login node" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["scontrol", "sbatch"])
def test_a_command_that_hangs_leaves_no_process(slurm, capsys, program):
    """Also if a script of the site's stands in front of the real command."""
    notes = slurm(program, 'sleep 600 & echo $! >"$NOTES"; wait')
    assert doctor.main(["--timeout", "1"]) == 1
    assert "no answer within 1 s" in capsys.readouterr().out
    deadline = time.monotonic() + 20  # a killed process takes a moment to vanish
    while processes.started(int(notes.read_text())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes.started(int(notes.read_text()))


def test_sinfo_and_sacct_and_scancel_fail(slurm, capsys):
    for program in ("sinfo", "sacct", "scancel"):
        slurm(program, "printf '\\377' >&2; exit 1")  # not even text
    assert doctor.main([]) == 0
    assert "sinfo failed" in capsys.readouterr().out


def test_a_rejected_job_says_what_to_type(slurm, capsys):
    slurm("sbatch", "echo 'error: no partition specified' >&2; exit 1")
    assert doctor.main([]) == 1
    assert "submitit-doctor -- --partition=… --account=…" in capsys.readouterr().out
    assert doctor.main([], program="workflow doctor") == 1
    assert "workflow doctor -- --partition=… --account=…" in capsys.readouterr().out


def test_the_users_variables_count_as_they_do_for_jobs(slurm, capsys, monkeypatch):
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    slurm("sbatch", 'echo "error: got $* and $SBATCH_JOB_NAME." >&2; exit 1')
    doctor.main([])
    said = capsys.readouterr().out
    assert "--account=lab" in said and "mine." not in said
    assert (
        "SBATCH_ACCOUNT, SBATCH_JOB_NAME in the environment are kept from SLURM's commands; of them --account" in said
    )


def test_sbatch_that_says_nothing(slurm, capsys):
    slurm("sbatch", "true")
    assert doctor.main([]) == 1
    assert "sbatch failed: it printed no job id" in capsys.readouterr().out


NOTE_NAME = 'for word; do case "$word" in --job-name=*) echo "${word#*=}" >name;; esac; done; echo 17'


def squeue_says(state):
    """Return a squeue that shows the job that NOTE_NAME has taken."""
    return f'echo "17|{state}|$(id -u)|Priority||$(cat name)|$PWD"'


def test_a_job_that_never_starts(slurm, capsys):
    slurm("sbatch", NOTE_NAME)
    slurm("squeue", squeue_says("PENDING"))
    assert doctor.main(["--timeout", "1"]) == 0
    assert "job 17 is still PENDING" in capsys.readouterr().out


def test_a_node_without_this_python(slurm, capsys):
    slurm("sbatch", NOTE_NAME)
    slurm("squeue", squeue_says("FAILED"))
    assert doctor.main(["--timeout", "1"]) == 1
    assert "must be seen by all nodes" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_written(slurm, capsys, tmp_path, folder):
    (tmp_path / "file").touch()
    assert doctor.main(["--folder", folder]) == 1
    assert "submitit-doctor --folder FOLDER" in capsys.readouterr().out


def test_a_folder_of_the_users_keeps_its_mode_and_may_have_an_odd_name(slurm, tmp_path):
    folder = tmp_path / "it's $HOME & co"
    folder.mkdir(mode=0o755)
    assert doctor.main(["--folder", str(folder)]) == 0
    assert folder.stat().st_mode & 0o777 == 0o755 and not list(folder.iterdir())


@pytest.mark.parametrize(
    "arguments", [["--partition=gpu"], ["gpu"], ["--fold", "x"], ["--timeout", "0"], ["--timeout", "soon"]]
)
def test_a_wrong_argument_is_one_sentence(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        doctor.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.count("error:") == 1


def test_an_option_of_sbatch_in_the_wrong_place(capsys):
    with pytest.raises(SystemExit):
        doctor.main(["--partition=gpu"])
    assert "submitit-doctor -- --partition=NAME" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as end:
        doctor.main(["--help"])
    assert end.value.code == 0
    assert "\n  submitit-doctor -- --partition=gpu --account=lab" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["head -n 1", "cd /"])
def test_no_traceback_for_a_reader_that_leaves_nor_in_a_folder_that_is_gone(slurm, tmp_path, end):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone}; {sys.executable} -m snakemake_executor_plugin_submitit.doctor --timeout 1 | {end}"
    done = subprocess.run(["sh", "-c", command], cwd=gone, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr


def test_a_configuration_is_read():
    preempting = {"PreemptMode": "REQUEUE", "PreemptType": "preempt/partition_prio"}
    assert preemption({}).grade == "ok"
    assert "SIGTERM only" in preemption(preempting).text
    assert "SIGUSR2" in preemption({**preempting, "SlurmctldParameters": "preempt_send_user_signal"}).text
    assert arrays({"MaxArraySize": "0"}).grade == "note"
    assert "1001" in arrays({"MaxArraySize": "1001"}).text
    assert "--requeue" in requeues({"JobRequeue": "0"}).text
    found = partitions("gpu*|infinite|gpu:a100:4|up\ncpu|1:00:00|(null)|down\n")
    assert [finding.grade for finding in found] == ["ok", "note"]
    assert "no partition shows GPUs" in partitions("cpu|1:00:00|(null)|up\n")[-1].text
