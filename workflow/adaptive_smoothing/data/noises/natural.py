"""natural: labels stay as they come; clean in a clean dataset, wrong where the dataset's own annotators erred."""

import numpy as np

from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.data.noises._matrix import Matrix


class Options(Strict):
    """No options."""


def matrix(options: Options, classes: int) -> Matrix:
    """Return the identity (K × K)."""
    return np.eye(classes)
