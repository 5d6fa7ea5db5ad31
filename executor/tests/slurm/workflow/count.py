"""A job that saves its state: counts to STEPS with pauses, ends on SIGUSR2 or SIGTERM, resumes where it was.

    python count.py OUTPUT STATE MEGABYTES

After each step STATE.json is replaced by a rename. STATE.starts gets a line at every start. A lock on STATE.lock shows
whether two processes count for one output at the same time; then STATE.twice is made. The output has the value of each
step. A value depends on all steps before, so a step that is lost or done twice shows. After a few steps the job takes
MEGABYTES of memory.
"""

import fcntl
import json
import os
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

STEPS = 30
PAUSE_S = 0.2
HUNGRY_FROM = 5
STOPPED_STATUS = 3  # it does not matter which


def next_value(value: str, step: int) -> str:
    """Return the value of a step, from the value of the one before."""
    return sha256(f"{value} {step}".encode()).hexdigest()[:12]


def replace(path: Path, content: object) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


def register(state: Path) -> object:
    """Record this start, and that another process counts for the same output; return the lock to keep."""
    state.parent.mkdir(parents=True, exist_ok=True)
    lock = state.with_suffix(".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        state.with_suffix(".twice").touch()
    with state.with_suffix(".starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    return lock


def main() -> None:
    """Count."""
    output, state, megabytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    told: list[int] = []
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, lambda number, frame: told.append(number))
    lock = register(state)
    saved = state.with_suffix(".json")
    content = json.loads(saved.read_text()) if saved.exists() else {"values": [], "restarts": -1}
    content["restarts"] += 1
    values, memory = content["values"], None
    while len(values) < STEPS:
        time.sleep(PAUSE_S)
        values.append(next_value(values[-1] if values else "", len(values)))
        replace(saved, content)
        print(f"step {len(values)}", flush=True)
        if memory is None and len(values) >= HUNGRY_FROM:
            memory = bytearray(b"x") * (megabytes << 20)
        if told:
            sys.exit(STOPPED_STATUS)
    replace(output, content)
    saved.unlink()
    del memory, lock


if __name__ == "__main__":
    main()
