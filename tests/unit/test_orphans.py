"""No job outlives its Snakemake: real processes, killed as the system kills them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import alive, wait_for

from adaptive_smoothing.pipeline.runtime import fork_server, orphans

# What Snakemake is to a job: it names itself, and starts the script through a shell that stays.
SNAKEMAKE = """
import subprocess, sys, time
from adaptive_smoothing.pipeline.runtime import orphans
orphans.offer_process()
subprocess.Popen(["bash", "-c", '"$0" -c "$1"; true', sys.executable, sys.argv[1]])
print("started", flush=True)
time.sleep(600)
"""
SCRIPT = """
import sys
from adaptive_smoothing.pipeline.runtime import jobs, orphans
orphans.end_with_snakemake()
sys.exit(jobs.call("training_of_a_test:train", "log", {}))
"""
TRAINING = """
import os, signal, time
def train():
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    open("pid", "w").write(str(os.getpid()))
    while not stopped:
        time.sleep(0.02)
    open("saved", "w").write("")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "training_of_a_test.py").write_text(TRAINING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.delenv(fork_server.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("with_server", [False, True])
def test_a_training_saves_and_ends_when_its_snakemake_is_killed(folder, with_server):
    """With the shell between them alive, and with the killed one not yet buried."""
    server = fork_server.ForkServer()
    if with_server:
        server.start(modules=())  # of a process that lives: the script alone can notice
    snakemake = subprocess.Popen([sys.executable, "-c", SNAKEMAKE, SCRIPT], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: Path("pid").exists() and Path("pid").read_text())
        snakemake.send_signal(signal.SIGKILL)
        wait_for(Path("saved").exists)
        wait_for(lambda: not alive(int(Path("pid").read_text())))
    finally:
        snakemake.kill()
        snakemake.wait()
        snakemake.stdout.close()
        server.stop()


def test_a_script_that_no_snakemake_started_is_left_alone(monkeypatch):
    monkeypatch.delenv(orphans.VARIABLE, raising=False)
    orphans.end_with_snakemake()
    monkeypatch.setenv(orphans.VARIABLE, "pid:[1] 1 5")  # a container's, whose processes this one cannot see
    before = len(os.listdir("/proc/self/task"))
    orphans.end_with_snakemake()
    assert len(os.listdir("/proc/self/task")) == before


def test_a_later_process_with_the_same_number_is_not_taken_for_snakemake():
    orphans.offer_process()
    space, pid, started = os.environ.pop(orphans.VARIABLE).split(" ")
    assert int(pid) == os.getpid() and started
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    code = (
        f"import os, time; os.environ[{orphans.VARIABLE!r}] = {f'{space} {other.pid} 5'!r}\n"
        "from adaptive_smoothing.pipeline.runtime import orphans; orphans.end_with_snakemake(); time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=50)
    assert ended.returncode == -signal.SIGTERM
    assert ended.stderr == "error: Snakemake is gone, so this job saves its state and ends\n"
    other.communicate(b"\n")
