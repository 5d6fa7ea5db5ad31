"""A warm process: imports torch once and forks for every job of one Snakemake, instead of importing it in each.

A small training takes about as long as importing torch does. The Snakefile starts the process, for a local run and for
a group of jobs on a cluster's node; it ends with the Snakemake that started it. Each job remains a job of its own, with
one output a run. Where no warm process waits (a job alone on a node, another conda environment) `call` says so and the
job runs as usual.
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

VARIABLE = "ADAPTIVE_SMOOTHING_WARM"  # the folder of the socket, for the jobs of this run only
NODE_PRELOAD = (
    "torch._dynamo",  # which every torch optimizer imports when it is made: 2 s
    "adaptive_smoothing.training.job",
    "adaptive_smoothing.training.sources.memory",
    "adaptive_smoothing.theory.label_noise",
)
PRELOAD = (*NODE_PRELOAD, "adaptive_smoothing.results.collect", "adaptive_smoothing.figures.draw")
POLL_S = 1.0  # how often the process looks whether its Snakemake is still there


class ForkServer:
    """The warm process of this Snakemake run."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None

    def start(self, modules: Sequence[str] = PRELOAD, own_session: bool = True) -> None:
        """Start the process and tell the jobs to come, through the environment, where it listens.

        It imports `modules`, by default what any job needs. In a session of its own Ctrl-C does not reach it, but the
        jobs through Snakemake; on a cluster's node it is to stay in the group of processes that SLURM's signals reach.
        """
        self._folder = tempfile.mkdtemp(prefix="adaptive_smoothing-")
        os.environ[VARIABLE] = self._folder
        with _listening(_socket_path(self._folder)) as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno()), str(os.getpid()), *modules],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=own_session,
            )

    def stop(self) -> None:
        """End the process; harmless where it was never started."""
        os.environ.pop(VARIABLE, None)
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def call(target: str, log: str, arguments: dict[str, Any], gpus: int | None = None) -> int | None:
    """Run a job in a fork of the warm process and return its exit status; None if no warm process waits.

    The arguments are those of `jobs.execute`.
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
    """Let SIGTERM ask the job to end, and wait for that: a training saves first, and who waits for us waits for it."""
    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # it has just ended by itself
            connection.shutdown(socket.SHUT_WR)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def serve(listener: socket.socket, snakemake_pid: int, modules: Sequence[str]) -> None:
    """Import what jobs need, then fork for each connection until Snakemake is gone."""
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
    """Run the job that the connection asks for and leave the process."""
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
    """Ask this process to end when the job's script, which holds the other end, was told to or is gone."""
    if not connection.recv(1):
        os.kill(os.getpid(), signal.SIGTERM)  # a training saves its state before it goes


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    return listener


def _socket_path(folder: str) -> Path:
    """Return the socket for this interpreter: a job in another conda environment finds none."""
    return Path(folder) / f"{hashlib.sha256(sys.executable.encode()).hexdigest()[:16]}.socket"


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3:])
