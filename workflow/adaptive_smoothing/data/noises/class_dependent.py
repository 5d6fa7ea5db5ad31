"""class_dependent: class i = 1 … K loses its label with probability κ + β i (Eq. 21), to any other class (Eq. 22)."""

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import NonNegative, Strict
from adaptive_smoothing.data.noises._matrix import Matrix, spread

ROUNDING = 1e-12  # κ + β K may exceed 1 by rounding alone


class Options(Strict):
    """κ, the noise level where it starts, and β, its increase from class to class."""

    kappa: NonNegative
    beta: NonNegative


def matrix(options: Options, classes: int) -> Matrix:
    """Return T (K × K); raise UserError where κ + β K exceeds 1."""
    rates = options.kappa + options.beta * np.arange(1, classes + 1)
    if rates[-1] > 1.0 + ROUNDING:
        raise UserError(
            f"noise class_dependent: κ = {options.kappa:g} and β = {options.beta:g} give class {classes} the "
            f"impossible noise rate {rates[-1]:g}; κ + {classes} β must be at most 1"
        )
    return spread(np.clip(1.0 - rates, 0.0, 1.0))
