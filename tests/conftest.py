"""Shared pieces of the tests."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cases import prepared_digits
from torch import nn

from adaptive_smoothing.core import paths

ROOT = Path(__file__).parents[1]

# A shell lets what it starts in the background ignore Ctrl-C, and the programs that tests start would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def network() -> Callable[[], nn.Module]:
    """Return a function that makes the same small batch-norm network every time."""

    def make() -> nn.Module:
        torch.manual_seed(5)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    return make


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return batches of 10 images (1 × 3 × 4) with labels of three classes."""
    generator = torch.Generator().manual_seed(7)
    return [
        (torch.randn(10, 1, 3, 4, generator=generator), torch.randint(0, 3, (10,), generator=generator))
        for _ in range(6)
    ]


@pytest.fixture
def files_in() -> Callable[[Path], dict[str, str]]:
    """Return a function that names a prepared dataset's files in a folder."""
    return lambda folder: {name: str(folder / name) for name in paths.DATASET_FILES}


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with prepared digits and a file of noisy labels."""
    return prepared_digits(tmp_path_factory.mktemp("digits"))
