"""What a training's log says: who trains what on which device at its head, then one line an epoch."""

import json
import math
import time
from typing import Any

from adaptive_smoothing import provenance

MEASURES = {
    "test_accuracy": "test",
    "validation_accuracy": "validation",
    "train_accuracy_noisy": "train noisy",
    "train_accuracy_clean": "train clean",
}


def head(run: str, specification: dict[str, Any], device: str, threads: int, parameters: int) -> str:
    """Return the head of a run's log: name, device, versions, seeds and the whole specification."""
    seeds = {
        "data": specification["dataset"]["data_seed"],
        "noise": specification["noise_seed"],
        "training": specification["seed"],
    }
    lines = [
        f"run {run}",
        f"device {device}, {threads} threads, {parameters:,} parameters",
        "versions " + ", ".join(f"{package} {version}" for package, version in provenance.versions().items()),
        "seeds " + ", ".join(f"{kind} {seed}" for kind, seed in seeds.items()),
        *(f"  {key}: {json.dumps(value)}" for key, value in specification.items()),
    ]
    return "\n".join(lines)


class Clock:
    """Tells how long the rest takes, from what this attempt has done so far."""

    def __init__(self, epochs: int, epoch: int, part: float) -> None:
        """Start at `epoch` of `epochs`, of which this `part` (0–1) is done."""
        self.epochs = epochs
        self.begun_at = epoch + part
        self.begun = time.perf_counter()

    def line(self, epoch: int, loss: float, rate: float, images_per_second: float, row: dict[str, Any]) -> str:
        """Return the line of a finished epoch; accuracies are there where `row` holds measures of it."""
        spent, done = time.perf_counter() - self.begun, epoch - self.begun_at
        # Nothing is done where a run was resumed between an epoch's last step and its end.
        left = spent / done * (self.epochs - epoch) if done else math.inf
        parts = [f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}", f"loss {loss:.4f}"]
        parts += [f"{name} {100 * row[key]:.2f} %" for key, name in MEASURES.items() if row.get(key) is not None]
        parts += [f"lr {rate:.3g}", f"{images_per_second:.0f} images/s"]
        if row.get("diverged"):
            return "  ".join([*parts, "the loss is not finite: diverged, the run ends here and its metrics say so"])
        return "  ".join([*parts, f"ETA {duration(left)}"])


def duration(seconds: float) -> str:
    """Return a duration as people read it: '2 d 03:04:05', '01:02:03'."""
    if not math.isfinite(seconds):
        return "unknown"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02d}:{minutes:02d}:{whole:02d}"
