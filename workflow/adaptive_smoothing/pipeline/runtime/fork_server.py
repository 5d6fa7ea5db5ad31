"""A fork server: it imports torch once, then forks for every job of one Snakemake.

Importing torch takes about as long as a small training. The Snakefile starts the server for a local run, and for a
group of jobs on a cluster's node. The server ends with the Snakemake that started it. Each job stays a job of its own.
Without a server (a single job on a node, another conda environment) `call` returns None and the job runs as usual.
"""

import contextlib
import errno
import hashlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "ADAPTIVE_SMOOTHING_FORK_SERVER"  # the folder of the socket, for the jobs of this Snakemake only
NODE_PRELOAD = (
    "torch._dynamo",  # every torch optimizer imports it when it is made: 2 s
    "adaptive_smoothing.training.job",
    "adaptive_smoothing.training.sources.memory",
    "adaptive_smoothing.theory.label_noise",
)
PRELOAD = (*NODE_PRELOAD, "adaptive_smoothing.results.collect", "adaptive_smoothing.figures.draw")
TAKEN = b"t"  # what a fork answers once it has a job
LONGEST_PARENT = 103 - len("/adaptive_smoothing-12345678/0123456789abcdef.socket")  # macOS has 103 bytes for a path
POLL_S = 1.0  # seconds between two checks that Snakemake still runs


class ForkServer:
    """The fork server of this Snakemake."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.folder: str | None = None  # of its socket

    def start(self, modules: Sequence[str] = PRELOAD, own_session: bool = True) -> None:
        """Start the server; an environment variable shows the jobs its socket.

        The server imports `modules`, by default what any job needs. In a session of its own, Ctrl-C does not reach it;
        Snakemake stops the jobs. On a cluster's node it stays in the process group that SLURM signals. Where there can
        be no server, one line says so, and the jobs run without.
        """
        try:
            self.folder = _new_folder()
            os.environ[VARIABLE] = self.folder
            with _listening(_socket_path(self.folder)) as listener:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(listener.fileno()), str(os.getpid()), *modules],
                    pass_fds=[listener.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=own_session,
                )
        except OSError as error:
            self.stop()
            _report(f"cannot be started ({error.strerror or error})")

    def stop(self) -> None:
        """End the server, if it was started."""
        os.environ.pop(VARIABLE, None)
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def call(target: str, log: str, arguments: dict[str, Any], gpus: int | None = None) -> int | None:
    """Run a job in a fork of the server and return its exit status; None if no server took it.

    The arguments are those of `execute.execute`.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return None
    job = {"target": target, "log": log, "arguments": arguments, "gpus": gpus}
    request = {"job": job, "folder": os.getcwd(), "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection, _passing_on_sigterm(connection) as signals:
        try:
            connection.connect(str(_socket_path(folder)))
            socket.send_fds(connection, [b"."], [2])
            connection.sendall(json.dumps(request).encode() + b"\n")
            taken = connection.recv(1)
        except OSError:  # the server died while it imported, or has ended
            taken = b""
        if not taken and not signals:
            return None
        try:
            answer = connection.recv(1)
        except OSError:
            answer = b""
    if not answer:
        print(f"error: the process of this job was killed; see {log}", file=sys.stderr)
        return 1
    return answer[0]


@contextlib.contextmanager
def _passing_on_sigterm(connection: socket.socket) -> Iterator[list[int]]:
    """Pass SIGTERM on to the job and keep waiting for it: a training saves its state before it ends.

    The list that is yielded holds the signals that came.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        with contextlib.suppress(OSError):  # the job has just ended
            connection.shutdown(socket.SHUT_WR)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, previous)


def serve(listener: socket.socket, snakemake_pid: int, modules: Sequence[str]) -> None:
    """Import `modules`, then fork for each connection until Snakemake has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the forks
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception as error:
        _report(f"cannot import what jobs need ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
        return
    listener.settimeout(POLL_S)
    while os.getppid() == snakemake_pid:
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # no fork: too many processes; the job runs without
                if os.fork() == 0:
                    listener.close()
                    _answer(connection)
    shutil.rmtree(Path(listener.getsockname()).parent, ignore_errors=True)  # Snakemake was killed


def _answer(connection: socket.socket) -> None:
    """Run the job that the connection describes, then exit."""
    from adaptive_smoothing.pipeline.runtime.execute import execute

    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.setblocking(True)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        os.dup2(descriptors[0], 2)
        stream = connection.makefile("rwb")
        request = json.loads(stream.readline())
        threading.Thread(target=_die_with_client, args=(connection,), daemon=True).start()
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["folder"])
        connection.sendall(TAKEN)
        status = execute(**request["job"])
        connection.sendall(bytes([status]))
    finally:
        os._exit(status)


def _report(problem: str) -> None:
    """Say why there is no server."""
    with contextlib.suppress(OSError):
        print(f"the fork server {problem}; each job imports torch by itself", file=sys.stderr, flush=True)


def _new_folder() -> str:
    """Make a folder whose path leaves room for a socket's name; raise OSError if there is none."""
    error: OSError | None = None
    for parent in dict.fromkeys([_temporary_folder(), "/tmp", "/dev/shm"]):
        if parent is None or len(os.fsencode(parent)) > LONGEST_PARENT:
            continue
        try:
            return tempfile.mkdtemp(prefix="adaptive_smoothing-", dir=parent)
        except OSError as refused:
            error = refused
    raise error or OSError(errno.ENAMETOOLONG, "no folder for temporary files has a short path; set TMPDIR to one")


def _temporary_folder() -> str | None:
    try:
        return tempfile.gettempdir()
    except OSError:  # none can be written
        return None


def _die_with_client(connection: socket.socket) -> None:
    """Send this process SIGTERM when the job's script, at the other end, was terminated or has died."""
    if not connection.recv(1):
        os.kill(os.getpid(), signal.SIGTERM)  # a training saves its state first


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    return listener


def _socket_path(folder: str) -> Path:
    """Return the socket of this interpreter; a job in another conda environment finds none."""
    return Path(folder) / f"{hashlib.sha256(sys.executable.encode()).hexdigest()[:16]}.socket"


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3:])
