"""A run's full specification: the typed values that go from the scale file to the training.

Two runs with the same specification are the same training. It is dumped to plain values only where Snakemake or
Parquet want them (`plain`), and read back from there (`RunSpec.model_validate`).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from adaptive_smoothing.core.options import PositiveInt, Strict

Augmentation = Literal["crop", "flip"]


class DatasetSpec(Strict):
    """A dataset: its key in the scale, its registered name and options, the data seed, and what stands in for it."""

    key: str
    name: str
    options: dict[str, Any]
    data_seed: int
    variant: str | None = Field(description="the name of data that stand in for the published ones; None: it is those")


class NoiseSpec(BaseModel):
    """A corruption: its key in the scale, its registered kind, and that kind's options as further fields."""

    model_config = ConfigDict(extra="allow", frozen=True)
    key: str
    kind: str

    def parameters(self) -> dict[str, Any]:
        """Return kind and options, as `corruption.transition_matrix` takes them."""
        return self.model_dump(mode="json", exclude={"key"})


class Entry(Strict):
    """A registered network or dataset by name, with the options that its file declares."""

    name: str
    options: dict[str, Any] = {}


class Performance(Strict):
    """What makes a training faster; all of it changes rounding, so it is off unless a scale says otherwise."""

    channels_last: bool = Field(default=False, description="memory format of images and convolutions")
    bf16: bool = Field(default=False, description="forward pass in bfloat16 autocast")
    tf32: bool = Field(default=False, description="products and convolutions of a GPU in TF32")
    compile: bool = Field(default=False, description="torch.compile of the network")
    cuda_graph: bool = Field(default=False, description="whole steps as one CUDA graph; without a GPU step by step")


class RunSpec(Strict):
    """Everything that a run's numbers depend on."""

    dataset: DatasetSpec
    validation: int = Field(ge=0, description="training examples held out for validation")
    noise: NoiseSpec
    noise_seed: int
    model: Entry
    augment: tuple[Augmentation, ...]
    performance: Performance
    train_eval_subset: PositiveInt | None = Field(description="training examples that are evaluated; None: all")
    epochs: PositiveInt
    batch_size: PositiveInt
    evaluate_every: PositiveInt
    method: str
    hyperparameters: dict[str, Any]
    eval_mc_samples: PositiveInt | None = Field(
        description="draws of an evaluation averaged over the posterior; None: the method has no posterior"
    )
    seed: int
    keep_posterior: bool = Field(description="whether posterior.pt is written, because a figure looks at it")

    def plain(self) -> dict[str, Any]:
        """Return the specification as JSON-like values, for Snakemake's params and for records."""
        return self.model_dump(mode="json")

    def as_text(self) -> str:
        """Return the specification as one line of JSON with sorted keys: equal texts, equal trainings."""
        return json.dumps(self.plain(), sort_keys=True)


def fingerprint(plain: Mapping[str, Any]) -> str:
    """Return 16 hex digits that stand for a mapping of plain values, such as a specification or a run's code."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
