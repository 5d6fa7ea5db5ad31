"""A fork server: it imports torch once, then forks for every job of one Snakemake.

Importing torch takes about as long as a small training. The Snakefile starts the server for a local run, and for a
group of jobs on a cluster's node. The server ends with the Snakemake that started it. Each job stays a job of its own.
Without a server (a single job on a node, another conda environment) `call` returns None and the job runs as usual.
"""

import contextlib
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
POLL_S = 1.0  # seconds between two checks that Snakemake still runs


class ForkServer:
    """The fork server of this Snakemake."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.folder: str | None = None  # of its socket

    def start(self, modules: Sequence[str] = PRELOAD, own_session: bool = True) -> None:
        """Start the server; an environment variable shows the jobs its socket.

        The server imports `modules`, by default what any job needs. In a session of its own, Ctrl-C does not reach it;
        Snakemake stops the jobs. On a cluster's node it stays in the process group that SLURM signals.
        """
        self.folder = tempfile.mkdtemp(prefix="adaptive_smoothing-")
        os.environ[VARIABLE] = self.folder
        with _listening(_socket_path(self.folder)) as listener:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno()), str(os.getpid()), *modules],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=own_session,
            )

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
    """Run a job in a fork of the server and return its exit status; None if no server runs.

    The arguments are those of `execute.execute`.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(_socket_path(folder)))
        except OSError:
            return None
        job = {"target": target, "log": log, "arguments": arguments, "gpus": gpus}
        request = {"job": job, "folder": os.getcwd(), "env": dict(os.environ)}
        socket.send_fds(connection, [b"."], [2])
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            with _passing_on_sigterm(connection):
                answer = stream.read(1)
    if not answer:
        print(f"error: the process of this job was killed; see {log}", file=sys.stderr)
        return 1
    return answer[0]


@contextlib.contextmanager
def _passing_on_sigterm(connection: socket.socket) -> Iterator[None]:
    """Pass SIGTERM on to the job and keep waiting for it: a training saves its state before it ends."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # the job has just ended
            connection.shutdown(socket.SHUT_WR)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def serve(listener: socket.socket, snakemake_pid: int, modules: Sequence[str]) -> None:
    """Import `modules`, then fork for each connection until Snakemake has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the forks
    for module in modules:
        importlib.import_module(module)
    listener.settimeout(POLL_S)
    while os.getppid() == snakemake_pid:
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()
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
        status = execute(**request["job"])
        connection.sendall(bytes([status]))
    finally:
        os._exit(status)


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
