"""The leader of a job's process group: starts the command, and kills the whole group should the attempt vanish.

It runs as a plain script, so that it costs milliseconds. Its first argument is the reading end of a pipe whose other
end only the attempt (node.py) holds. When the attempt is gone, even killed with -9, the pipe ends, and the whole group
with it. Without control groups nothing else would stop a job whose parent has died.

SIGUSR2 is ignored, which survives exec, so that no shell or Snakemake in between dies of it; a job that wants it
installs a handler. SIGTERM ends what does not handle it; the leader itself stays until the command has ended.
"""

import os
import signal
import subprocess
import sys
import threading


def die_with_attempt(pipe: int) -> None:
    """Kill this process group, this process included, when the pipe ends."""
    while os.read(pipe, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the command and end with its status."""
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the attempt blocked signals until the leader is ready
    threading.Thread(target=die_with_attempt, args=(pipe,), daemon=True).start()
    status = subprocess.Popen(command).wait()
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
