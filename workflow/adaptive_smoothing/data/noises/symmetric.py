"""symmetric: a label is replaced, with probability `rate`, by one of the other classes, each equally likely."""

import numpy as np

from adaptive_smoothing.core.options import Fraction, Strict
from adaptive_smoothing.data.noises._matrix import Matrix, spread


class Options(Strict):
    """The probability that a label is replaced."""

    rate: Fraction


def matrix(options: Options, classes: int) -> Matrix:
    """Return T (K × K): 1 - rate on the diagonal, rate / (K - 1) elsewhere."""
    return spread(np.full(classes, 1.0 - options.rate))
