"""Time evaluations under the posterior against the bare passes that they consist of: python benchmarks/evaluation.py.

Posterior-averaged evaluation consists of a forward pass a draw; label noise of a forward pass and a forward-mode
product (jvp) a draw, and one forward pass at the mean. Bare means: the same passes over images that are normalised
already, at weights that are drawn already, the outputs thrown away. In turn within one process; the smallest time of
each counts. With one thread the processor's time is taken, which other programs on the machine lengthen less than the
wall's.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from steps import method, network
from torch import nn
from torch.func import functional_call, jvp

from adaptive_smoothing.core import registry
from adaptive_smoothing.methods.base import Method
from adaptive_smoothing.theory import label_noise
from adaptive_smoothing.training import evaluation
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.sources.memory import MemoryBatches

CPU = torch.device("cpu")


def small() -> nn.Module:
    """Return the network of MNIST's runs."""
    module = registry.load("model", "mnist_cnn")
    model: nn.Module = module.build(module.Options(channels=(32, 64)), 1, (28, 28), 10)
    return model


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], int, int, int]] = {
    "mnist_cnn": (small, (1, 28, 28), 300, 100, 20),  # network, shape of an image, images, batch, draws
    "resnet34": (network, (3, 32, 32), 200, 100, 2),
}


def images(count: int, shape: tuple[int, int, int]) -> MemoryBatches:
    """Return so many random images."""
    values = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    channels = np.ones(shape[0], dtype=np.float32)
    return MemoryBatches(values, Normalisation(channels / 2, channels / 4, CPU, channels_last=False))


def pairs(
    trained: Method, data: MemoryBatches, batch: int, samples: int
) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Return by name: a whole evaluation, and its bare passes."""
    model = trained.model
    mean = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    std = {name: value.clone() for name, value in (trained.posterior_std() or {}).items()}
    tangent = {name: scale * torch.randn_like(scale) for name, scale in std.items()}
    drawn = {name: mean[name] + tangent[name] for name in mean}
    normalised = list(data.in_order(batch))

    def in_order() -> object:
        return data.in_order(batch)

    @torch.no_grad()
    def passes(products: bool) -> None:
        model.eval()
        for given in normalised if products else []:  # label noise needs the outputs at the mean, once
            model(given)
        for _ in range(samples):
            for given in normalised:
                if products:
                    functional_call(model, drawn, (given,))
                    jvp(lambda weights, given=given: functional_call(model, weights, (given,)), (mean,), (tangent,))
                else:
                    model(given)

    def averaged() -> object:
        return evaluation.posterior_averaged(model, trained.sampled_weights, in_order, samples)

    def noise() -> object:
        return label_noise.estimate_label_noise(model, mean, std, in_order, samples, torch.Generator().manual_seed(0))

    return {
        "posterior-averaged": (averaged, lambda: passes(False)),
        "label noise": (noise, lambda: passes(True)),
    }


def main() -> None:
    """Print a row a network and kind of evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    print(f"{asked.threads} threads, smallest of {asked.rounds}; seconds of the whole and of its bare passes")
    for name in asked.networks:
        build, shape, count, batch, samples = CASES[name]
        trained = method("IVON", build())
        for kind, runs in pairs(trained, images(count, shape), batch, samples).items():
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(asked.rounds):
                for run, found in zip(runs, times, strict=True):
                    began = clock()
                    run()
                    found.append(clock() - began)
            whole, bare = (min(found) for found in times)
            print(
                f"{name}, {count} images, {samples} draws, {kind}: {whole:.2f} / {bare:.2f} = {whole / bare:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
