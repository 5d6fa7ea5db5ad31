"""Small files in the true formats of the datasets, the same bytes every time; images in which the class can be seen.

Every writer takes the folder that a scale calls `data_root`. A file that is there already is left as it is.
"""

import gzip
import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.pipeline.commands.smoke import python2_pickle

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def labels_of(size: int, classes: int, seed: int) -> Labels:
    """Return `size` labels in random order, each class as often as the others, or once more or less."""
    return np.random.default_rng([seed, classes]).permutation(np.arange(size) % classes)


def pictures(labels: Labels, classes: int, shape: tuple[int, int, int], seed: int) -> Images:
    """Return N × C × H × W images: a blurred disc in noise; its place and colour show the class."""
    channels, height, width = shape
    generator = np.random.default_rng([seed, len(labels), *shape])
    turn = 2 * np.pi * labels[:, None, None] / classes
    rows, columns = np.mgrid[0:height, 0:width]
    down = rows / height - 0.5 - 0.3 * np.sin(turn)
    right = columns / width - 0.5 - 0.3 * np.cos(turn)
    disc = np.exp(-(down**2 + right**2) / 0.03)[:, None]
    phases = 2 * np.pi * np.arange(channels) / channels
    colour = 0.6 + 0.4 * np.cos(7 * turn[..., None] + phases[None, :, None, None])
    noise = generator.normal(0.25, 0.08, (len(labels), *shape))
    images: Images = (255 * np.clip(disc * colour + noise, 0, 1)).astype(np.uint8)
    return images


def write_mnist(root: Path, train: int = 150, test: int = 20, folder: str = "MNIST") -> None:
    """Write MNIST's (or, in folder FashionMNIST, Fashion-MNIST's) four IDX files, gzipped as they are published."""
    for seed, (part, size) in enumerate((("train", train), ("t10k", test))):
        labels = labels_of(size, 10, seed)
        images = pictures(labels, 10, (1, 28, 28), seed)[:, 0]
        for kind, array in (("images", images), ("labels", labels.astype(np.uint8))):
            path = root / folder / "raw" / f"{part}-{kind}-idx{array.ndim}-ubyte.gz"
            write_once(path, gzip.compress(idx(array), mtime=0))


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return the bytes of an IDX file: magic number with the number of dimensions, sizes, values."""
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_cifar10(root: Path, train: int = 30, test: int = 20) -> None:
    """Write cifar-10-python.tar.gz: five training batches, a test batch and the names of the classes."""
    labels = labels_of(train, 10, 0)
    images = pictures(labels, 10, (3, 32, 32), 0)
    content: dict[str, Any] = {}
    for number, rows in enumerate(np.array_split(np.arange(train), 5), start=1):
        name = f"training batch {number} of 5"
        content[f"data_batch_{number}"] = _cifar_batch(name, images[rows], {"labels": labels[rows]})
    labels = labels_of(test, 10, 1)
    images = pictures(labels, 10, (3, 32, 32), 1)
    content["test_batch"] = _cifar_batch("testing batch 1 of 1", images, {"labels": labels})
    cases = -(-train // 5)
    content["batches.meta"] = {"num_cases_per_batch": cases, "label_names": list(CIFAR10_CLASSES), "num_vis": 3072}
    _write_tar(root / "cifar-10-python.tar.gz", "cifar-10-batches-py", content)


def write_cifar100(root: Path, train: int = 54, test: int = 20) -> None:
    """Write cifar-100-python.tar.gz: training and test batch, fine and coarse labels, and their names."""
    content: dict[str, Any] = {}
    for seed, (name, title, size) in enumerate((("train", "training", train), ("test", "testing", test))):
        fine = labels_of(size, 100, seed)
        labels = {"fine_labels": fine, "coarse_labels": fine // 5}
        images = pictures(fine, 100, (3, 32, 32), seed)
        content[name] = _cifar_batch(f"{title} batch 1 of 1", images, labels)
    content["meta"] = {
        "fine_label_names": [f"fine_{label}" for label in range(100)],
        "coarse_label_names": [f"coarse_{label}" for label in range(20)],
    }
    _write_tar(root / "cifar-100-python.tar.gz", "cifar-100-python", content)


def _cifar_batch(name: str, images: Images, labels: dict[str, Labels]) -> dict[str, Any]:
    """Return a batch as CIFAR's pickles hold it: a row of 3072 bytes (red, green, blue planes) an image, and lists."""
    return {
        "batch_label": name,
        **{key: values.tolist() for key, values in labels.items()},
        "data": images.reshape(len(images), -1),
        "filenames": [f"tiny_{number:06d}.png" for number in range(len(images))],
    }


def _write_tar(path: Path, folder: str, content: dict[str, Any]) -> None:
    """Write a .tar.gz with a pickle for each name in `folder`; owner and time are always the same."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        top = tarfile.TarInfo(folder)
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(top)
        for name, value in content.items():
            data = python2_pickle.dumps(value)
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    write_once(path, gzip.compress(stream.getvalue(), mtime=0))


def write_resnet50_weights(root: Path, name: str) -> None:
    """Write random weights where those of ResNet50_Weights.<name> are looked for; the state dict is torchvision's."""
    import torch
    from torchvision.models import ResNet50_Weights, resnet50

    path = root / "weights" / Path(ResNet50_Weights[name].url).name
    if path.exists():
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = resnet50(weights=None).state_dict()
    stream = io.BytesIO()
    torch.save(state, stream)
    write_once(path, stream.getvalue())


def write_once(path: Path, content: bytes) -> None:
    """Write a file unless it exists."""
    if not path.exists():
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)


def write_clothing1m(root: Path, train: int = 128, test: int = 28) -> None:
    """Write the folder clothing1m/: JPEGs, key lists and labels in the official layout; 3 of 8 noisy labels are wrong.

    As in the original a part of the training images has a clean label too.
    """
    folder = root / "clothing1m"
    true = labels_of(train + 2 * test, 14, 0)
    keys = [f"images/{number % 10}/{number % 7:02d}/{number * 7919},{number}.jpg" for number in range(len(true))]
    generator = np.random.default_rng(1)
    for key, label in zip(keys, true, strict=True):
        height, width = generator.integers(64, 84, 2)  # and four times as large in the file
        write_once(folder / key, jpeg(pictures(np.array([label]), 14, (3, height, width), len(key) + int(label))[0], 4))
    shifts = np.where(np.arange(len(true)) % 8 < 3, generator.integers(1, 14, len(true)), 0)
    noisy = [f"{key} {label}" for key, label in zip(keys, (true + shifts) % 14, strict=True)]
    clean = [f"{key} {label}" for key, label in zip(keys, true, strict=True)]
    also_clean = train // 4
    lists = {
        "noisy_train_key_list.txt": keys[:train],
        "clean_train_key_list.txt": keys[:also_clean],
        "clean_val_key_list.txt": keys[train : train + test],
        "clean_test_key_list.txt": keys[train + test :],
        "noisy_label_kv.txt": noisy[:train],
        "clean_label_kv.txt": clean[:also_clean] + clean[train:],
    }
    for name, lines in lists.items():
        write_once(folder / name, "".join(f"{line}\n" for line in lines).encode())


def jpeg(image: Images, enlarged: int = 1) -> bytes:
    """Return a JPEG file of a C × H × W image, `enlarged` times as high and wide."""
    return encoded(image, "JPEG", enlarged, quality=90)


def encoded(image: Images, file_format: str, enlarged: int = 1, **options: Any) -> bytes:
    """Return a C × H × W image as a file in one of Pillow's formats."""
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    size = (enlarged * picture.width, enlarged * picture.height)
    picture.resize(size, Image.Resampling.BICUBIC).save(stream, file_format, **options)
    return stream.getvalue()
