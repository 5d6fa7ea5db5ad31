"""pair: a label is replaced, with probability `rate`, by the next class; the last class by the first."""

import numpy as np

from adaptive_smoothing.core.options import Fraction, Strict
from adaptive_smoothing.data.noises._matrix import Matrix


class Options(Strict):
    """The probability that a label is replaced."""

    rate: Fraction


def matrix(options: Options, classes: int) -> Matrix:
    """Return T (K × K): 1 - rate on the diagonal, rate at the next class."""
    identity = np.eye(classes)
    shifted: Matrix = np.roll(identity, 1, axis=1)
    return (1.0 - options.rate) * identity + options.rate * shifted
