"""All benchmarks that need neither a GPU nor SLURM, one after the other: `python benchmarks`.

docs/benchmarks.md says what each measures. Each runs in a process of its own, so that none warms up another.
"""

import subprocess
import sys
from pathlib import Path

COMMANDS = (
    ("planning.py",),
    ("collecting.py",),
    ("overhead.py", "small", "--figure", "fig6"),
    ("steps.py",),
    ("evaluation.py",),
    ("side_by_side.py",),
    ("input.py",),
    ("against_reference.py",),
)


def main() -> int:
    """Run them; return the status of the first that fails, else 0."""
    for script, *arguments in COMMANDS:
        done = subprocess.run([sys.executable, Path(__file__).with_name(script), *arguments], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
