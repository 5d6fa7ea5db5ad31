"""Where the images come from: python benchmarks/input.py [--device cpu|cuda].

Images a second of batches.ImageBatches (uint8 on the device, augmented a batch at a time) and of torchvision's
transforms behind a DataLoader with 0 and 2 workers, on made-up images: handed out alone, and in a training loop with
the small scale's network (8 × 8), the paper's MNIST network (28 × 28) and its ResNet-34 (32 × 32, crop and flip),
batches of 50. In turn, in one process, on a CPU with one thread beside the workers; the largest speed of the repeats
counts.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from reference import common
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from adaptive_smoothing.core import registry
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.sources.memory import MemoryBatches

BATCH = 50
CLASSES = 10
REPEATS = 2


@dataclass(frozen=True)
class Case:
    """A network and its images; `count` of them for the input alone, `trained` in a loop."""

    model: str
    options: dict[str, object]
    shape: tuple[int, int, int]
    augment: tuple[str, ...]
    count: int
    trained: int


CASES = {
    "small network": Case("small_cnn", {}, (1, 8, 8), (), 10_000, 10_000),
    "MNIST network": Case("mnist_cnn", {"channels": (32, 64)}, (1, 28, 28), (), 10_000, 1_000),
    "ResNet-34": Case("resnet34", {}, (3, 32, 32), ("crop", "flip"), 10_000, 100),
}
Source = Callable[[int], Iterator[tuple[Tensor, Tensor]]]  # how many images → batches of images and labels


def sources(case: Case, device: torch.device) -> dict[str, Source]:
    """Return the ways to get the case's images onto the device."""
    channels, size, _ = case.shape
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (case.count, *case.shape)).astype(np.uint8)
    labels = generator.integers(0, CLASSES, case.count)
    half = np.full(channels, 0.5, dtype=np.float32)
    on_device = torch.from_numpy(labels).to(device)

    def resident(count: int) -> Iterator[tuple[Tensor, Tensor]]:
        rows = np.arange(count)
        batches = MemoryBatches(images, Normalisation(half, half, device, channels_last=False), rows)
        for batch, indices in batches.shuffled(BATCH, case.augment, seed=0, epoch=0):
            yield batch, on_device[indices]

    def loader(workers: int) -> Source:
        transform = common.transform(half.tolist(), half.tolist(), size if case.augment else None)

        def read(count: int) -> Iterator[tuple[Tensor, Tensor]]:
            dataset = common.Images(images[:count], labels[:count], transform)
            for batch, given in DataLoader(dataset, BATCH, shuffle=True, num_workers=workers):
                yield batch.to(device), given.to(device)

        return read

    return {"in memory": resident, "DataLoader, 0 workers": loader(0), "DataLoader, 2 workers": loader(2)}


def network(case: Case, device: torch.device) -> nn.Module:
    """Return the case's network."""
    module = registry.load("model", case.model)
    channels, height, width = case.shape
    model: nn.Module = module.build(module.Options(**case.options), channels, (height, width), CLASSES)
    return model.to(device)


def speed(batches: Iterator[tuple[Tensor, Tensor]], model: nn.Module | None, device: torch.device) -> float:
    """Return images a second from the first batch's arrival on, so that the start of workers does not count."""
    optimizer = None if model is None else torch.optim.SGD(model.parameters(), lr=0.01)
    images, began = 0, 0.0
    for number, (batch, labels) in enumerate(batches):
        if model is not None and optimizer is not None:
            optimizer.zero_grad()
            functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()
        if number == 0:
            _wait(device)
            began = time.perf_counter()
        else:
            images += len(batch)
    _wait(device)
    return images / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print two lines a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = torch.device(parser.parse_args().device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    print("images a second | in memory | DataLoader, 0 workers | DataLoader, 2 workers | ratios")
    for name, case in CASES.items():
        model = network(case, device)
        ways = sources(case, device)
        for what, count, trained in (("alone", case.count, None), ("training", case.trained, model)):
            best = dict.fromkeys(ways, 0.0)
            for _ in range(REPEATS):
                for way, source in ways.items():
                    best[way] = max(best[way], speed(source(count), trained, device))
            first, *others = best.values()
            speeds = " | ".join(f"{value:.0f}" for value in best.values())
            print(f"{name}, {what} | {speeds} | {', '.join(f'{first / other:.1f}' for other in others)}", flush=True)


if __name__ == "__main__":
    main()
