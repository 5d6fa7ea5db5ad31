"""How fast images are decoded from disk, and how much memory that takes: python benchmarks/file_batches.py.

Writes JPEGs of 256 to 600 pixels a side, as Clothing1M's, into a temporary folder and reads one epoch of batches as a
training does (shorter side to 256, a random crop of 224, flip), with 0, 1 and 2 workers. Then the memory of the main
process and its workers, private and shared pages together (PSS), with N and 4 N paths: it must not grow with the number
of images but by their paths. Speeds per second of processor time say what a core does that nothing else shares; the
last is that of the check of every file when the dataset is prepared. Linux only (/proc).
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from adaptive_smoothing.data import image_files, types
from adaptive_smoothing.data.datasets import clothing1m
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.sources.files import FileBatches

DECODE = types.Decode(resize=256, crop=224)
BATCH = 64  # as in config/paper.yaml
QUALITY = 90
REPEATS = 3  # the largest speed counts


def write_images(folder: Path, count: int) -> float:
    """Write JPEGs with smooth shapes and some grain; return their mean size in kB."""
    generator = np.random.default_rng(0)
    for number in range(count):
        width, height = (int(side) for side in generator.integers(256, 601, 2))
        shapes = generator.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(shapes).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
        grainy = smooth + generator.normal(0, 4, smooth.shape)
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:07d}.jpg", quality=QUALITY)
    return sum(path.stat().st_size for path in folder.iterdir()) / count / 1e3


def opened(folder: Path, files: int, count: int, workers: int) -> FileBatches:
    """Return batches of `count` paths that name the folder's files again and again."""
    paths = np.resize(np.array([f"{number:07d}.jpg".encode() for number in range(files)]), count)
    one = np.ones(3, dtype=np.float32)
    return FileBatches(paths, folder, DECODE, Normalisation(one, one, torch.device("cpu"), False), workers)


def proportional_memory_mb() -> float:
    """Return the memory of this process and its children, each shared page counted once among those that share it."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    total = 0
    for pid in (me, *children):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def measure(batches: FileBatches, images: int) -> tuple[float, float]:
    """Return images a second and the largest memory in MB while so many images are read; the start is left out."""
    iteration, peak = batches.shuffled(BATCH, ["crop", "flip"], 0, 0), 0.0
    for _ in range(max(1, 2 * batches.workers)):  # until the workers are up and their queue has drained once
        next(iteration)
    began = time.perf_counter()
    for _ in range(images // BATCH):
        next(iteration)
    speed = images // BATCH * BATCH / (time.perf_counter() - began)
    for _ in range(8):
        next(iteration)
        peak = max(peak, proportional_memory_mb())
    del iteration  # and with it its workers
    return speed, peak


def main() -> None:
    """Print one table of speeds, one of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=600, help="JPEGs to write")
    parser.add_argument("--images", type=int, default=1280, help="images to decode for a speed")
    parser.add_argument(
        "--paths", type=int, default=250_000, help="paths (N) of the smaller dataset in the second table"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{asked.files} JPEGs of {write_images(folder, asked.files):.0f} kB, batches of {BATCH}")
        speeds: dict[int, list[float]] = {0: [], 1: [], 2: []}
        for _ in range(REPEATS):
            for workers, found in speeds.items():
                found.append(measure(opened(folder, asked.files, 10 * asked.images, workers), asked.images)[0])
        for workers, found in speeds.items():
            print(f"{workers} workers: {max(found):.0f} images/s", flush=True)
        used = time.process_time()
        for number in range(asked.files):
            image_files.decode_image(folder / f"{number:07d}.jpg", DECODE)
        print(f"decoding: {asked.files / (time.process_time() - used):.0f} images per second of processor time")
        for workers in (0, 2):
            for count in (asked.paths, 4 * asked.paths):
                _, memory = measure(opened(folder, asked.files, count, workers), 4 * BATCH)
                print(f"{workers} workers, {count:,} paths: {memory:.0f} MB in main process and workers", flush=True)
        keys = [path.name for path in folder.iterdir()] * 4
        used = time.process_time()
        for key in keys:
            clothing1m.check_image(name, key)
        print(f"checking: {len(keys) / (time.process_time() - used):.0f} files per second of processor time")


if __name__ == "__main__":
    main()
