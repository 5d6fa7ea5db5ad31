"""A short training of real digits, for tests of the loop."""

import contextlib
import itertools
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import generated
import pytest

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import labels, prepare, storage
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.training import loop, split
from adaptive_smoothing.training.checkpoint import Checkpoint, State
from adaptive_smoothing.training.devices import Machine

ROOT = Path(__file__).parents[1]
NOWHERE: dict[str, Any] = {"root": "", "mirrors": [], "fetch": False}  # where digits come from: scikit-learn holds them


def prepared_digits(folder: Path) -> Path:
    """Prepare 197 training digits, 20 of them held out, with 40 % wrong labels, in `folder`; return it."""
    files = {name: str(folder / "digits" / name) for name in paths.DATASET_FILES}
    prepare.prepare("digits", {"test_size": 1600}, 0, files, None, NOWHERE)
    labels.corrupt_labels(
        str(folder / "digits"), {"kind": "symmetric", "rate": 0.4}, 0, 0, 20, str(folder / "labels.parquet")
    )
    return folder


def specification(method: str, **changes: Any) -> RunSpec:
    """Return a run of the small scale cut to three epochs of four steps; changes of a block are merged into it.

    A method that the small scale does not use has generated hyper-parameters.
    """
    own = next((run.spec for run in _small().runs.values() if run.method == method), None)
    plain = (own or next(iter(_small().runs.values())).spec).plain()
    if own is None:
        plain |= {"method": method, "hyperparameters": generated.options("method", method)[0]}
    plain |= {"epochs": 3, "evaluate_every": 1, "seed": 1, "augment": ["crop", "flip"]}
    plain["eval_mc_samples"] = 2 if has_posterior(method) else None
    merged = {key: {**plain[key], **value} if isinstance(value, dict) else value for key, value in changes.items()}
    return RunSpec.model_validate({**plain, **merged})


@cache
def _small() -> plan.Plan:
    return plan.Plan("small", ROOT / "config")


def has_posterior(method: str) -> bool:
    """Return whether a method declares that it has a posterior."""
    return registry.constant("method", method, "POSTERIOR") is True


def arguments(digits: Path, folder: Path, spec: RunSpec, code: str = "code", **machine: Any) -> dict[str, Any]:
    """Return what `job.train` takes to train `spec` in `folder` on the prepared digits, on one thread of `machine`."""
    return {
        "specification": spec.plain(),
        "run": "run",
        "scale": "scale",
        "dataset": str(digits / "digits"),
        "labels": str(digits / "labels.parquet"),
        "metrics": str(folder / "metrics.parquet"),
        "posterior": str(folder / "posterior.pt"),
        "code": {"training": code},
        "checkpoint_minutes": 1000,
        "machine": machine,
    }


def trainer(digits: Path, spec: RunSpec) -> loop.Trainer:
    """Return the trainer of `spec` on the prepared digits, at its beginning."""
    prepared = storage.open_prepared(digits / "digits")
    return loop.Trainer(spec, prepared, split.read_labels(digits / "labels.parquet", prepared), Machine())


@contextlib.contextmanager
def stopping_after(steps: int) -> Iterator[None]:
    """Send SIGTERM to this process, as SLURM does, when a training in it has done this number of steps."""
    real, done = Checkpoint.after_step, itertools.count(1)

    def after_step(self: Checkpoint, state: Callable[[], State]) -> None:
        if next(done) == steps:
            signal.raise_signal(signal.SIGTERM)
        real(self, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "after_step", after_step)
        yield
