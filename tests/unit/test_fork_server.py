"""The fork server: the same answers as without it, and no process left behind."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from waiting import alive, wait_for

from adaptive_smoothing.pipeline.runtime import execute, fork_server, jobs

IMPORT = "from adaptive_smoothing.pipeline.runtime import fork_server"
HELPER = """
import os, signal, sys, time
from adaptive_smoothing.core.errors import UserError

def fine(text, pid_file):
    print(text)
    print("warning", file=sys.stderr)
    open(pid_file, "w").write(f"{os.getpid()} {os.getcwd()} {os.environ.get('MARK')}")

def wrong():
    raise UserError("a sentence")

def broken():
    raise RuntimeError("oh")

def killed():
    os.kill(os.getpid(), 9)

def slow(pid_file):
    open(pid_file, "w").write(str(os.getpid()))
    time.sleep(60)

def saving(pid_file):
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    open(pid_file, "w").write(str(os.getpid()))
    while not told:
        time.sleep(0.05)
    time.sleep(0.5)
    open("saved", "w").write("")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "helper_of_forks.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def process(folder):
    started = fork_server.ForkServer()
    started.start(modules=())
    yield started
    started.stop()


def called(function, folder, **arguments):
    log = folder / f"{function}.log"
    return fork_server.call(f"helper_of_forks:{function}", str(log), arguments), log


def test_without_a_fork_server_the_caller_is_told(folder, monkeypatch):
    monkeypatch.delenv(fork_server.VARIABLE, raising=False)
    assert called("fine", folder, text="x", pid_file="pid")[0] is None
    monkeypatch.setenv(fork_server.VARIABLE, str(folder))
    assert called("fine", folder, text="x", pid_file="pid")[0] is None


def test_a_job_runs_in_a_fork_with_the_callers_folder_environment_and_log(process, folder, monkeypatch):
    monkeypatch.setenv("MARK", "seen")
    status, log = called("fine", folder, text="hello", pid_file="pid")
    assert status == 0
    assert log.read_text() == "hello\nwarning\n"
    pid, where, mark = Path("pid").read_text().split()
    assert int(pid) not in (os.getpid(), process.process.pid)
    assert (Path(where), mark) == (folder, "seen")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", "error: a sentence\n"),
        ("broken", "error: RuntimeError: oh; see "),
        ("killed", "error: the process of"),
    ],
)
def test_a_failure_is_told_with_and_without_a_fork_server(process, folder, capfd, function, message):
    status, log = called(function, folder)
    assert status == 1
    assert capfd.readouterr().err.startswith(message)
    if function != "killed":
        assert message in log.read_text()
        assert execute.execute(f"helper_of_forks:{function}", str(log), {}) == 1
        assert message in capfd.readouterr().err


def test_a_killed_caller_takes_its_job_along(process, folder):
    code = f"{IMPORT}; fork_server.call('helper_of_forks:slow', 'log', {{'pid_file': 'pid'}})"
    caller = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: Path("pid").exists() and Path("pid").read_text(), 30)
    pid = int(Path("pid").read_text())
    caller.kill()
    caller.wait()
    wait_for(lambda: not alive(pid), 30)


def test_a_caller_that_is_told_to_stop_waits_until_its_job_has_saved(process, folder):
    code = (
        "import sys; from adaptive_smoothing.pipeline.runtime import fork_server\n"
        "sys.exit(fork_server.call('helper_of_forks:saving', 'log', {'pid_file': 'pid'}))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: Path("pid").exists() and Path("pid").read_text(), 30)
    caller.terminate()
    assert caller.wait(30) == 0
    assert Path("saved").exists()


def test_the_folder_goes_with_a_killed_snakemake(folder):
    code = (
        f"import os, time; {IMPORT}; w = fork_server.ForkServer(); w.start(modules=())\n"
        "print(w.folder, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    left = Path(parent.stdout.readline().strip())
    assert left.is_dir()
    parent.kill()
    parent.wait()
    wait_for(lambda: not left.exists(), 30)


def test_a_long_folder_for_temporary_files_is_not_used(folder, monkeypatch):
    long = folder / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    started = fork_server.ForkServer()
    started.start(modules=())
    try:
        assert called("fine", folder, text="x", pid_file="pid")[0] == 0
        assert not list(long.iterdir())
    finally:
        started.stop()


@pytest.mark.parametrize("kind", ["no folder", "no sockets", "no processes"])
def test_where_there_can_be_no_server_one_line_says_so_and_jobs_run_without(folder, monkeypatch, capfd, kind):
    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    owner, name = {
        "no folder": (tempfile, "mkdtemp"),
        "no sockets": (fork_server, "_listening"),
        "no processes": (subprocess, "Popen"),
    }[kind]
    started = fork_server.ForkServer()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, refused)
        started.start(modules=())
    assert capfd.readouterr().err == (
        "the fork server cannot be started (Operation not permitted); each job imports torch by itself\n"
    )
    assert called("fine", folder, text="x", pid_file="pid")[0] is None
    assert jobs.call("helper_of_forks:fine", str(folder / "log"), {"text": "x", "pid_file": "pid"}) == 0
    started.stop()


def test_without_any_folder_for_temporary_files_there_is_still_one_for_the_socket(folder, monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    started = fork_server.ForkServer()
    started.start(modules=())
    try:
        assert called("fine", folder, text="x", pid_file="pid")[0] == 0
    finally:
        started.stop()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("raise ImportError('no backend')", "cannot import what jobs need (ImportError: no backend)"),
        ("import os; os._exit(1)", None),  # as if killed: out of memory
    ],
)
def test_a_server_that_dies_while_it_imports_costs_no_job(folder, capfd, content, line):
    """A job that has connected meanwhile runs by itself, and so does one that comes later."""
    (folder / "broken_module.py").write_text(
        f"import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n{content}"
    )
    started = fork_server.ForkServer()
    started.start(modules=("broken_module",))
    statuses = []
    early = threading.Thread(target=lambda: statuses.append(called("fine", folder, text="x", pid_file="pid")[0]))
    early.start()
    time.sleep(0.2)  # long enough to connect in most runs; later it is the other case
    Path("go").touch()
    early.join()
    started.process.wait()
    statuses.append(called("fine", folder, text="x", pid_file="pid")[0])
    started.stop()
    assert statuses == [None, None]
    said = capfd.readouterr().err
    assert said == (f"the fork server {line}; each job imports torch by itself\n" if line else "")


def test_a_server_that_cannot_fork_leaves_the_job_to_the_caller(folder):
    """Too many processes: `ulimit -u`, a container's limit. Later ones are forked again."""
    (folder / "limited.py").write_text(
        "import os\nfork = os.fork\n"
        "def refused():\n    os.fork = fork\n    raise BlockingIOError(11, 'no more processes')\nos.fork = refused\n"
    )
    started = fork_server.ForkServer()
    started.start(modules=("limited",))
    try:
        assert called("fine", folder, text="x", pid_file="pid")[0] is None
        assert called("fine", folder, text="x", pid_file="pid")[0] == 0
    finally:
        started.stop()


@pytest.mark.parametrize(
    ("command_line", "count"),
    [
        ("snakemake --cores 2 small", 0),
        ("snakemake --target-jobs train:run=a,scale=b --cores all", 1),
        ("snakemake --snakefile S --target-jobs train:run=a train:run=b train:run=c --allowed-rules train", 3),
        ("snakemake --target-jobs train:run=a train:run=b", 2),
    ],
)
def test_how_many_jobs_a_nodes_snakemake_is_to_run(command_line, count):
    assert jobs.count_target_jobs(command_line.split()) == count


def test_the_process_ends_with_the_snakemake_that_started_it(folder):
    code = (
        f"import os, time; {IMPORT}; w = fork_server.ForkServer(); w.start()\n"
        "print(w.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not alive(pid), seconds=60)
