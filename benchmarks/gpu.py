"""On a GPU: images/s, step times and IVON's share in them, on ResNet-34 with batches of 50: python benchmarks/gpu.py.

Each method is timed plain, with all of `performance` that changes rounding, and with its steps captured as a CUDA
graph, in turn within one process. Step times are those of the device, between two events. IVON's share is what its step
takes beyond plain SGD's passes, as part of the step: 1 - (SGD's step - SGD's update) / IVON's step.
"""

import argparse
import sys
from collections.abc import Callable

import torch
from steps import METHODS, batch, method, network

from adaptive_smoothing.core.specification import Performance
from adaptive_smoothing.training import cuda_graph, devices

FAST = Performance(channels_last=True, bf16=True, tf32=True)
SETTINGS = {
    "plain": Performance(),
    "CUDA graph": Performance(cuda_graph=True),
    "fast": FAST,
    "fast, CUDA graph": FAST.model_copy(update={"cuda_graph": True}),
}


def milliseconds(run: Callable[[], object], count: int) -> float:
    """Return the device's time for one of `count` calls; the first ten are not timed."""
    for _ in range(10):
        run()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(count):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / count


def measured(name: str, settings: Performance, size: int, count: int) -> tuple[float, float]:
    """Return milliseconds of a whole step and of SGD's update alone (0 for other methods)."""
    device = torch.device("cuda")
    devices.be_deterministic(device, 1, settings.tf32)
    one = method(name, devices.configure(network(), settings, device))
    steps = cuda_graph.CapturedStep(one.step, size if settings.cuda_graph else None, device)
    images, labels, indices = batch(size, "cuda")
    if settings.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    whole = milliseconds(lambda: steps(images, labels, indices), count)
    return whole, milliseconds(one.optimizer.step, count) if name == "SGD" else 0.0


def main() -> None:
    """Print a table, or that there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no GPU here, so there is nothing to measure.")
        sys.exit()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, ResNet-34, batches of {asked.batch}")
    print(f"{'':18s}{'':18s}{'ms a step':>10s}{'× SGD':>8s}{'images/s':>10s}{'share':>8s}")
    for label, settings in SETTINGS.items():
        sgd = update = 0.0
        for name in METHODS:
            if "ivon-opt" in name and settings.cuda_graph:
                continue  # its step computes on the host
            whole, own = measured(name, settings, asked.batch, asked.steps)
            if name == "SGD":
                sgd, update = whole, own
            share = f"{1 - (sgd - update) / whole:8.2f}" if "IVON" in name else ""
            print(f"{label:18s}{name:18s}{whole:10.2f}{whole / sgd:8.2f}{1e3 * asked.batch / whole:10.0f}{share}")


if __name__ == "__main__":
    main()
