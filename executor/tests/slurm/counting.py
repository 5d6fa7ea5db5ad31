"""The workflow whose jobs count, and a Snakemake that runs it."""

import json
from pathlib import Path
from typing import Any

from slurm_testing.head import Head

WORKFLOW = Path(__file__).with_name("workflow")
STEPS = 30  # of workflow/count.py


class Counting(Head):
    """A Snakemake whose jobs count."""

    def count(self, *numbers: int) -> "Counting":
        """Start the jobs of these numbers."""
        self.start(*(f"counts/{number}.json" for number in numbers or (0,)))
        return self

    def is_counting(self, number: int = 0, steps: int = 3) -> int:
        """Wait until a job has done some steps and return its process."""
        self.awaits(lambda: len(self.saved(number)["values"]) >= steps, f"job {number} does not count")
        return self.started(number)[-1]

    def saved(self, number: int) -> dict[str, Any]:
        """Return the saved state of a job, an empty one before its first step."""
        try:
            state: dict[str, Any] = json.loads((self.folder / f"states/{number}.json").read_text())
        except FileNotFoundError:
            return {"values": []}
        return state

    def started(self, number: int) -> list[int]:
        """Return the processes that have counted for an output, in order."""
        return [int(line) for line in (self.folder / f"states/{number}.starts").read_text().split()]

    def counted(self, number: int) -> dict[str, Any]:
        """Return the output of a job."""
        output: dict[str, Any] = json.loads((self.folder / f"counts/{number}.json").read_text())
        return output
