"""Two trainings beside each other on two cores, against one after the other: python benchmarks/side_by_side.py.

Each is a process of its own that does steps of IVON on ResNet-34, batches of 50, as a job that got one thread. The time
counts from the first step to the end of the last one of both. Below 1 it pays to run two at a time, 0.5 is ideal.
"""

import argparse
import subprocess
import sys
import time

import torch
from steps import batch, method, network

from adaptive_smoothing.training import devices


def work(steps: int) -> None:
    """Do one step and wait for a line; do so many steps and say what share of the processor time other threads took."""
    devices.be_deterministic(torch.device("cpu"), 1)
    one, given = method("IVON", network()), batch(50)
    one.step(*given)
    print("ready", flush=True)
    sys.stdin.readline()
    process, own = time.process_time(), time.thread_time()
    for _ in range(steps):
        one.step(*given)
    process, own = time.process_time() - process, time.thread_time() - own
    print(f"{1 - own / process:.3f}", flush=True)


def started(steps: int) -> list[subprocess.Popen[str]]:
    """Start two workers and wait until they are ready."""
    command = [sys.executable, __file__, "--work", str(steps)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    return workers


def go(worker: subprocess.Popen[str]) -> None:
    """Let a worker begin."""
    assert worker.stdin is not None
    print(file=worker.stdin, flush=True)


def elapsed(workers: list[subprocess.Popen[str]], beside: bool) -> tuple[float, list[str]]:
    """Return the seconds that the workers take, and what each says at its end."""
    began, said = time.perf_counter(), []
    for worker in workers if beside else []:
        go(worker)
    for worker in workers:
        if not beside:
            go(worker)
        assert worker.stdout is not None
        said.append(worker.stdout.readline().strip())
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.wait()
    return seconds, said


def main() -> None:
    """Print the ratio, and the share of the processor time that threads beside the main one took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=int, metavar="STEPS", help="be one of the two (used by this program)")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    if asked.work is not None:
        work(asked.work)
        return
    times: dict[bool, list[float]] = {False: [], True: []}
    shares: list[str] = []
    for _ in range(asked.rounds):
        for beside, found in times.items():
            seconds, said = elapsed(started(asked.steps), beside)
            found.append(seconds)
            shares += said
    one_by_one, beside_each_other = min(times[False]), min(times[True])
    print(f"two runs of one thread, {asked.steps} steps of IVON each, smallest of {asked.rounds}")
    print(f"one after the other {one_by_one:.1f} s, beside each other {beside_each_other:.1f} s", end=": ")
    print(f"ratio {beside_each_other / one_by_one:.2f}; processor time of other threads: at most {max(shares)}")


if __name__ == "__main__":
    main()
