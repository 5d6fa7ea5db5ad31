"""What the literal scripts share: images behind torchvision's transforms and a DataLoader, and the test accuracy."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Images(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's own datasets hand them out: one at a time, by way of PIL and a transform."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], transform: Callable[[Image.Image], Tensor]
    ) -> None:
        """Take N × C × H × W images (C 1 or 3) and N labels."""
        self.images = images.transpose(0, 2, 3, 1)
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.images[index]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return self.transform(image), int(self.labels[index])


def transform(mean: list[float], std: list[float], crop: int | None = None) -> transforms.Compose:
    """Return the usual transforms; with `crop`, a random crop of that size after padding by 4, and a random flip."""
    random = [transforms.RandomCrop(crop, padding=4), transforms.RandomHorizontalFlip()] if crop else []
    return transforms.Compose([*random, transforms.ToTensor(), transforms.Normalize(mean, std)])


def test_accuracy(model: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> float:
    """Return the part of the loader's images that the model classifies rightly."""
    model.eval()
    correct, total = 0, 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
            total += len(labels)
    return correct / total
