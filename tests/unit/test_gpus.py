"""GPUs of a workstation: no two processes at once see the same one, and a killed process frees its own."""

import contextlib
import errno
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.runtime import fork_server, gpus

IMPORT = "import sys; from adaptive_smoothing.pipeline.runtime.jobs import call"
UUIDS = ["GPU-8f6d3c1e-0000-0000-0000-000000000001", "GPU-8f6d3c1e-0000-0000-0000-000000000002"]
HOLDER = """
import os, sys, time
from adaptive_smoothing.pipeline.runtime.gpus import taken
number, seconds = int(sys.argv[1]), float(sys.argv[2])
with taken(number, patience_s=60):
    began = time.monotonic()
    print("took", os.environ["CUDA_VISIBLE_DEVICES"], began, flush=True)
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(600)
    time.sleep(seconds)
    print("left", time.monotonic(), flush=True)
"""
HELPER = """
import os
def tell():
    print("sees", repr(os.environ.get("CUDA_VISIBLE_DEVICES")))
"""


@pytest.fixture(autouse=True)
def own_locks(monkeypatch, tmp_path_factory):
    """Keep these tests' locks apart from any real ones; a short path, as sockets need."""
    tmp_path_factory.getbasetemp()  # where pytest keeps its own folders is decided before TMPDIR changes
    with tempfile.TemporaryDirectory(prefix="gpus-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.delenv(gpus.VARIABLE, raising=False)
        yield Path(folder)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a program on PATH that answers as nvidia-smi does on a machine with two GPUs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\n[ "$*" = "--query-gpu=uuid --format=csv,noheader" ] || exit 2\n'
        f"printf '{UUIDS[0]}\\n{UUIDS[1]}\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program


def holder(number=1, seconds=600.0, *more):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(number), str(seconds), *more], stdout=subprocess.PIPE, text=True
    )


def told(process):
    """Return the devices that a holder says it took."""
    word, devices, _ = process.stdout.readline().split()
    assert word == "took"
    return devices.split(",")


def ended(*processes):
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0,1", ["0", "1"]),
        (" 3 ,1", ["3", "1"]),
        (",".join(UUIDS), UUIDS),
        ("MIG-GPU-8f6d3c1e/1/0", ["MIG-GPU-8f6d3c1e/1/0"]),
        ("0,-1,1", ["0"]),
        ("0,0", ["0"]),
        ("", []),
        ("-1", []),
    ],
)
def test_the_users_choice_of_devices_comes_first(nvidia_smi, monkeypatch, given, expected):
    monkeypatch.setenv(gpus.VARIABLE, given)
    assert gpus.devices() == expected


def test_else_the_driver_lists_them(nvidia_smi):
    assert gpus.devices() == UUIDS


def test_without_a_driver_there_are_none(nvidia_smi, monkeypatch):
    nvidia_smi.write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    assert gpus.devices() == []
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpus.devices() == []
    with pytest.raises(UserError, match=r"needs 1 GPU\(s\), but 0 are there \(none\); --resources gpu=N must"):
        gpus.taken(1).__enter__()


@pytest.mark.parametrize(
    ("needed", "limit", "message"),
    [
        (0, 0, None),
        (0, 4, None),  # nothing takes one
        (2, 2, None),
        (3, 3, r"a job needs 3 GPU\(s\), but 2 are there \(GPU-.*; --resources gpu=N must be at most that$"),
        (1, 3, r"--resources gpu=3: but 2 GPU\(s\) are there"),
    ],
)
def test_too_few_devices_are_known_before_the_first_job(nvidia_smi, needed, limit, message):
    with pytest.raises(UserError, match=message) if message else contextlib.nullcontext():
        gpus.check_enough(needed, limit)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, 524, errno.ENOSYS])
def test_a_file_system_without_locks_still_gives_each_its_own_device(monkeypatch, number):
    monkeypatch.setenv(gpus.VARIABLE, "0,1")

    def flock(descriptor, operation):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with gpus.taken(1) as names:
        monkeypatch.setenv(gpus.VARIABLE, "0,1")
        with pytest.raises(UserError, match="only 1 are free"), gpus.taken(2, patience_s=0):
            pass
        with gpus.taken(1, patience_s=0) as others:
            assert (names, others) == (["0"], ["1"])
    monkeypatch.setenv(gpus.VARIABLE, "0,1")
    with gpus.taken(2, patience_s=0) as names:
        assert names == ["0", "1"]


def test_a_job_sees_its_devices_only_and_gives_them_back(monkeypatch):
    monkeypatch.setenv(gpus.VARIABLE, "4,MIG-GPU-8f6d3c1e/1/0,6")
    with gpus.taken(2) as names:
        assert names == ["4", "MIG-GPU-8f6d3c1e/1/0"]
        assert os.environ[gpus.VARIABLE] == "4,MIG-GPU-8f6d3c1e/1/0"
    assert os.environ[gpus.VARIABLE] == "4,MIG-GPU-8f6d3c1e/1/0,6"
    other = holder(3)
    assert told(other) == ["4", "MIG-GPU-8f6d3c1e/1/0", "6"]
    ended(other)


def test_a_job_on_the_cpu_sees_no_device(nvidia_smi, own_locks):
    with gpus.taken(0) as names:
        assert (names, os.environ[gpus.VARIABLE]) == ([], "")
    assert gpus.VARIABLE not in os.environ
    assert list(own_locks.iterdir()) == []


def test_processes_at_once_get_different_devices_and_more_wait_for_them(monkeypatch):
    monkeypatch.setenv(gpus.VARIABLE, "0,1,2")
    processes = [holder(1, 0.5) for _ in range(7)]
    spans = []
    for process in processes:
        out, _ = process.communicate(timeout=300)
        (_, device, began), (_, left) = (line.split() for line in out.splitlines())
        spans.append((device, float(began), float(left)))
        assert process.returncode == 0
    assert {device for device, _, _ in spans} == {"0", "1", "2"}
    for device in "012":
        times = sorted((began, left) for where, began, left in spans if where == device)
        assert all(left < began for (_, left), (began, _) in itertools.pairwise(times)), spans
    assert any(a[1] < b[1] < a[2] for a in spans for b in spans if a is not b), "no two ran at once"


@pytest.mark.parametrize("more", [(), ("fork",)])
def test_a_killed_process_frees_its_device(monkeypatch, more):
    monkeypatch.setenv(gpus.VARIABLE, "0,1")
    killed, other = holder(1, 600, *more), None
    device = told(killed)
    try:
        other = holder()
        assert told(other) != device
        with pytest.raises(UserError, match=r"needs 1 GPU\(s\), but of the 2 there only 0 are free; --resources gpu=N"):
            gpus.taken(1, patience_s=0).__enter__()
        children = forked_by(killed.pid)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with gpus.taken(1, patience_s=0) as names:
            assert names == device
        for child in children:
            os.kill(child, signal.SIGKILL)
        assert len(children) == len(more)
    finally:
        ended(*(process for process in (killed, other) if process))


def forked_by(pid):
    """Return the ids of a process's children, once a fork has had the time to happen."""
    time.sleep(0.5)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_too_few_free_ones_leave_none_taken(monkeypatch):
    monkeypatch.setenv(gpus.VARIABLE, "0,1,2")
    first = holder(2)
    told(first)
    with pytest.raises(UserError, match="of the 3 there only 1 are free"):
        gpus.taken(2, patience_s=0.3).__enter__()
    second = holder(1)
    assert told(second) == ["2"]
    ended(first, second)


def test_locks_in_another_users_hands_are_refused(monkeypatch, own_locks):
    monkeypatch.setenv(gpus.VARIABLE, "0")
    elsewhere = own_locks / "elsewhere"
    elsewhere.mkdir()
    (own_locks / f"adaptive-smoothing-gpus-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is not a folder of this user"):
        gpus.taken(1).__enter__()


@pytest.mark.parametrize("warmed", [False, True])
def test_jobs_see_their_own_device(tmp_path, nvidia_smi, monkeypatch, warmed):
    (tmp_path / "helper_of_gpus.py").write_text(HELPER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.delenv(fork_server.VARIABLE, raising=False)
    process = fork_server.ForkServer()
    if warmed:
        process.start(modules=())
    other = holder()
    try:
        assert told(other) == UUIDS[:1]
        for number, seen in [(1, UUIDS[1]), (0, ""), (None, None)]:
            log = tmp_path / "log"
            call = f"sys.exit(call('helper_of_gpus:tell', {str(log)!r}, {{}}, {number}))"
            subprocess.run(
                [sys.executable, "-c", f"{IMPORT}; {call}"],
                check=True,
            )
            assert log.read_text() == f"sees {seen!r}\n"
        call = f"sys.exit(call('helper_of_gpus:tell', {str(log)!r}, {{}}, 3))"
        failed = subprocess.run(
            [sys.executable, "-c", f"{IMPORT}; {call}"],
            capture_output=True,
            text=True,
        )
        assert failed.returncode == 1
        assert failed.stderr.startswith("error: a job needs 3 GPU(s), but 2 are there (GPU-")
    finally:
        ended(other)
        process.stop()


def test_the_fork_server_leaves_cuda_alone():
    """A fork cannot use CUDA once the process it comes from has; nor would it then see its own devices only."""
    code = (
        "import importlib, torch\n"
        "from adaptive_smoothing.pipeline.runtime import fork_server\n"
        "asked = []\n"
        "torch._C._cuda_getDeviceCount = lambda: asked.append('devices') or 0\n"
        "for module in fork_server.PRELOAD:\n"
        "    importlib.import_module(module)\n"
        "print(len(asked), torch.cuda.is_initialized())\n"
        "torch.cuda._is_compiled = lambda: True\n"  # also where torch was built for the CPU only
        "torch.cuda.is_available()\n"
        "print(len(asked))\n"  # shows that a look at the devices would have been seen
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 False\n1\n"
