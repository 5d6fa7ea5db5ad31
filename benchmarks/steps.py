"""Time whole optimizer steps (forward, backward, update) on ResNet-34: python benchmarks/steps.py.

Plain SGD, SAM, and IVON by this project and by `ivon-opt`, in turn within one process, on random images of CIFAR's
shape. The smallest time of each counts; the ratio to SGD's is what to look at. The last column is what a step takes
beyond its forward and backward passes, as a share of SGD's step. With one thread the processor's time is taken, which
other programs on the machine lengthen less than the wall's.
"""

import argparse
import time
from typing import Any

import torch

from adaptive_smoothing.core import registry
from adaptive_smoothing.methods.base import Context, Method, method_class

SCHEDULE = {"kind": "step", "milestones": (100,), "factor": 0.1}
SGD = {"lr": 0.1, "weight_decay": 1e-3, "momentum": 0.9, "schedule": SCHEDULE}
IVON = {"lr": 0.2, "weight_decay": 1e-3, "schedule": SCHEDULE, "hess_init": 0.5, "beta1": 0.9, "beta2": 1 - 1e-5}
IVON |= {"ess_per_example": 1.0, "train_mc_samples": 1, "hessian": "learned", "batch_norm": "sampled"}
METHODS: dict[str, tuple[str, dict[str, Any], int]] = {  # name: module, hyper-parameters, passes
    "SGD": ("ls", {**SGD, "alpha": 0.0}, 1),
    "SAM": ("sam", {**SGD, "rho": 0.1, "batch_norm": "first_pass"}, 2),
    "IVON": ("ivon", {**IVON, "implementation": "flat"}, 1),
    "IVON by ivon-opt": ("ivon", {**IVON, "implementation": "reference"}, 1),
}
CLASSES = 10


def network() -> torch.nn.Module:
    """Return the paper's ResNet-34 for CIFAR-10."""
    torch.manual_seed(0)
    module = registry.load("model", "resnet34")
    model: torch.nn.Module = module.build(module.Options(), 3, (32, 32), CLASSES)
    return model


def method(name: str, model: torch.nn.Module) -> Method:
    """Return one of METHODS for the model."""
    module_name, settings, _ = METHODS[name]
    module = registry.load("method", module_name)
    made: Method = method_class(module)(model, module.Hyperparameters(**settings), Context(50_000, CLASSES))
    return made


def batch(size: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return images, labels and indices."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, 32, 32, generator=generator)
    labels = torch.randint(0, CLASSES, (size,), generator=generator)
    return images.to(device), labels.to(device), torch.arange(size, device=device)


def main() -> None:
    """Print a row a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="SGD is always timed")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    given = batch(asked.batch)
    methods = {name: method(name, network()) for name in METHODS if name in ("SGD", *asked.methods)}
    times: dict[str, list[float]] = {name: [] for name in methods}
    passes: list[float] = []
    bare = network()
    for _ in range(asked.rounds + 1):
        for name, one in methods.items():
            began = clock()
            one.step(*given)
            times[name].append(clock() - began)
        bare.zero_grad()
        began = clock()
        torch.nn.functional.cross_entropy(bare(given[0]), given[1]).backward()
        passes.append(clock() - began)
    print(f"ResNet-34, batches of {asked.batch}, {asked.threads} threads, smallest of {asked.rounds} steps each")
    print(f"{'':18s}{'s a step':>10s}{'× SGD':>8s}{'beyond passes':>15s}")
    smallest = {name: min(found[1:]) for name, found in times.items()}  # the first one makes the optimizer's state
    for name, seconds in smallest.items():
        beyond = (seconds - METHODS[name][2] * min(passes[1:])) / smallest["SGD"]
        print(f"{name:18s}{seconds:10.3f}{seconds / smallest['SGD']:8.2f}{beyond:15.2f}")


if __name__ == "__main__":
    main()
