"""Label noise of a trained posterior, per training example: exact (Eq. 16) and linearised (Eq. 20).

Exact: ε_i = p_i(m) - E_q[p_i(θ)], p = softmax(f), by S Monte-Carlo samples. Linearised, one sample:
ε_i = (diag(p) - ppᵀ) J_i Σ^{1/2} e with e ~ N(0, I), one forward-mode product a sample for a whole batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, jvp

from adaptive_smoothing.core import environment, parquet
from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import storage
from adaptive_smoothing.data.types import Labels, Prepared
from adaptive_smoothing.models.build import build_model
from adaptive_smoothing.training import devices
from adaptive_smoothing.training.batches import open_source
from adaptive_smoothing.training.devices import Machine
from adaptive_smoothing.training.posterior import load_posterior
from adaptive_smoothing.training.split import read_labels

HELD_BYTES = 1 << 30  # of draws in memory at once; images are read, or decoded, once for all of these
Weights = dict[str, Tensor]
Batches = Callable[[], Iterator[Tensor]]


@dataclass(frozen=True)
class LabelNoise:
    """N examples, K classes. Vectors N × K, magnitudes (2-norms) N.

    `noise_linearised` is the root mean square over samples of each component of Eq. 20 (its mean is zero by
    construction), `magnitude_linearised` the mean over samples of its norm.
    """

    probabilities: Tensor
    probabilities_mc: Tensor
    noise_linearised: Tensor
    magnitude_linearised: Tensor

    @property
    def noise_exact(self) -> Tensor:
        """Return ε = p(m) - E_q[p(θ)] (Eq. 16), N × K."""
        return self.probabilities - self.probabilities_mc

    @property
    def magnitude_exact(self) -> Tensor:
        """Return ‖ε‖ of Eq. 16, N."""
        magnitude: Tensor = torch.linalg.vector_norm(self.noise_exact, dim=1)
        return magnitude


@torch.no_grad()
def estimate_label_noise(
    model: nn.Module, mean: Weights, std: Weights, batches: Batches, samples: int, generator: torch.Generator
) -> LabelNoise:
    """Return the label noise of N(mean, diag(std²)) over all batches (B × C × H × W), the model in evaluation mode.

    All batches see the same `samples` draws e, taken from `generator`. Each draw is made once and serves all batches;
    each batch is read once for all draws in memory (up to HELD_BYTES).
    """
    model.eval()
    first = torch.cat([functional_call(model, mean, (images,)).softmax(dim=1) for images in batches()])
    sums = torch.zeros_like(first), torch.zeros_like(first), torch.zeros_like(first[:, 0])
    held = max(1, HELD_BYTES // sum(scale.nbytes for scale in std.values()))
    for begin in range(0, samples, held):
        tangents = [
            {name: scale * _normal(scale, generator) for name, scale in std.items()}
            for _ in range(min(held, samples - begin))
        ]
        parts = [_sums(model, mean, tangents, images) for images in batches()]
        for total, part in zip(sums, map(torch.cat, zip(*parts, strict=True)), strict=True):
            total += part / samples
    average, squares, norms = sums
    return LabelNoise(first, average, squares.sqrt(), norms)


def _sums(
    model: nn.Module, mean: Weights, tangents: Sequence[Weights], images: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return for one batch the sums over `tangents` t of p(mean + t), of Eq. 20's squares and of its norms."""
    probabilities, squares, norms = [], [], []
    for tangent in tangents:
        drawn = {name: mean[name] + change for name, change in tangent.items()}
        probabilities.append(functional_call(model, drawn, (images,)).softmax(dim=1))
        linear = linearised(model, mean, tangent, images)
        squares.append(linear.square())
        norms.append(torch.linalg.vector_norm(linear, dim=1))
    return torch.stack(probabilities).sum(dim=0), torch.stack(squares).sum(dim=0), torch.stack(norms).sum(dim=0)


def linearised(model: nn.Module, mean: Weights, tangent: Weights, images: Tensor) -> Tensor:
    """Return (diag(p) - ppᵀ) J t, B × K: Eq. 20 with t = Σ^{1/2} e given as one tensor a parameter."""
    products: tuple[Tensor, ...] = jvp(lambda weights: functional_call(model, weights, (images,)), (mean,), (tangent,))
    logits, change = products
    probabilities = logits.softmax(dim=1)
    weighted: Tensor = probabilities * change
    return weighted - probabilities * weighted.sum(dim=1, keepdim=True)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)


class MeasureJob(Strict):
    """A trained run, the files that its measurement reads and writes, and the machine that measures."""

    specification: RunSpec
    run: str
    dataset: Path  # folder of the prepared dataset
    labels: Path  # file of noisy labels
    posterior: Path  # the run's posterior.pt
    output: Path
    samples: PositiveInt  # Monte-Carlo samples of the label noise
    code: dict[str, str]  # module → digest of the code that the job reaches
    machine: Machine


def measure(**fields: Any) -> None:
    """Write label_noise.parquet for a trained run: a row a training example (validation left out).

    `fields` are those of MeasureJob, as plain values. For a method without a posterior the noise columns are null;
    `soft_label` holds the label vector that the method aims at for the example's label (null: it has none).
    """
    job = MeasureJob.model_validate(fields)
    made_with = environment.snapshot()
    device = devices.start(job.machine)
    prepared = storage.open_prepared(job.dataset)
    labels = read_labels(job.labels, prepared)
    rows = labels.train_rows
    columns: dict[str, Any] = {"index": rows, "label": labels.noisy[rows]}
    columns |= _measured_columns(job, prepared, rows, columns["label"], device)
    absent = [None] * len(rows)
    table = pa.table({name: columns.get(name, absent) for name in LABEL_NOISE.names}, schema=LABEL_NOISE)
    metadata = {"run": job.run, "specification": job.specification.plain(), "samples": job.samples, "code": job.code}
    data = {"dataset_sha256": prepared.sha256, "labels_sha256": labels.sha256}
    parquet.write(job.output, table, {**metadata, **data, **made_with})


def _measured_columns(
    job: MeasureJob, prepared: Prepared, rows: NDArray[np.int64], labels: Labels, device: torch.device
) -> dict[str, Any]:
    """Return the columns of the training examples `rows` with these labels that need the trained network."""
    spec, machine = job.specification, job.machine
    channels_last = spec.performance.channels_last  # as in training; the rest of `performance` only trains
    images = open_source(prepared, "train", rows, device, channels_last, machine.threads - 1, machine.data_root)
    state = load_posterior(job.posterior)
    model = devices.move_to(build_model(spec, prepared), channels_last, device).eval()
    model.load_state_dict(state["model"])
    columns = _noise_columns(model, state["std"], images.in_order, device, job.samples, spec.seed)
    if state["soft_labels"] is not None:
        columns["soft_label"] = _rows(state["soft_labels"]["soft_labels"][torch.from_numpy(labels)])
    return columns


def _noise_columns(
    model: nn.Module, std: Weights | None, batches: Batches, device: torch.device, samples: int, seed: int
) -> dict[str, Any]:
    if std is None:
        with torch.no_grad():
            probabilities = torch.cat([model(batch).softmax(dim=1) for batch in batches()])
        return {"probabilities": _rows(probabilities)}
    mean = {name: parameter.detach() for name, parameter in model.named_parameters()}
    scales = {name: value.to(device) for name, value in std.items()}
    generator = torch.Generator().manual_seed(seed)
    noise = estimate_label_noise(model, mean, scales, batches, samples, generator)
    return {
        "probabilities": _rows(noise.probabilities),
        "probabilities_mc": _rows(noise.probabilities_mc),
        "noise_exact": _rows(noise.noise_exact),
        "noise_linearised": _rows(noise.noise_linearised),
        "magnitude_exact": noise.magnitude_exact.cpu().numpy().astype(np.float64),
        "magnitude_linearised": noise.magnitude_linearised.cpu().numpy().astype(np.float64),
    }


def _rows(matrix: Tensor) -> list[Any]:
    return list(matrix.cpu().numpy())


LABEL_NOISE = pa.schema(
    [
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("probabilities", pa.list_(pa.float32())),
        ("probabilities_mc", pa.list_(pa.float32())),
        ("noise_exact", pa.list_(pa.float32())),
        ("noise_linearised", pa.list_(pa.float32())),
        ("magnitude_exact", pa.float64()),
        ("magnitude_linearised", pa.float64()),
        ("soft_label", pa.list_(pa.float32())),
    ]
)
