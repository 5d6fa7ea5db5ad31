"""Two moons under logistic regression: the label noise of each example, by variational GD and by VON (like Fig. 1).

The features are monomials of the two coordinates, each standardised and divided by √P, so that φᵀφ is 1 on average.
"""

from typing import Any

import numpy as np
import pandas as pd

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.theory import trainers
from adaptive_smoothing.theory.families import Logistic
from adaptive_smoothing.theory.glm import GLM
from adaptive_smoothing.theory.logistic import Array

METHODS = ("variational GD", "VON")
MARGIN = 0.4  # of the plane around the examples, in units of the coordinates
ACROSS = 101  # points of the plane, along each axis
STILL = 1e-3  # the largest gradient of Eq. 7, an example, at which a training counts as finished


def table(options: dict[str, Any], where: str) -> pd.DataFrame:
    """Return the columns of `records.MOONS`: by method a row an example, and one a point of the plane around them.

    `mean` and `variance` are those of f under the trained posterior (Eq. 12, 19), `noise` is ε (Eq. 13). Raises
    UserError, naming `where`, if a training has not come to rest.
    """
    from sklearn.datasets import make_moons

    points, labels = make_moons(options["examples"], noise=options["spread"], random_state=options["seed"])
    plane = _plane(points)
    features = _features(options["degree"], points)
    model = GLM(Logistic(), features(points), labels[:, None].astype(float), options["delta"])
    parts = []
    for method in METHODS:
        last = _trained(method, model, options, where)
        for kind, places, given in (("example", points, labels), ("grid", plane, None)):
            seen = GLM(model.family, features(places), np.zeros((len(places), 1)), model.delta)
            parts.append(_rows(seen, last, places).assign(method=method, kind=kind, label=given))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(label=frame["label"].astype("Int64"))


def _trained(method: str, model: GLM, options: dict[str, Any], where: str) -> tuple[Array, Array]:
    """Return the posterior's mean and covariance after the last step."""
    start = np.zeros((model.features.shape[1], 1))
    if method == "VON":
        steps, prior = options["steps_von"], model.delta * np.eye(model.size)
        made = trainers.von(model, start, prior, options["rate_von"], steps)
    else:
        steps = options["steps_gd"]
        made = trainers.variational_gradient_descent(model, start, options["rate_gd"], steps)
    *_, last = made
    assert last.covariance is not None
    left = np.abs(model.expected_gradient(last.mean, last.covariance)).max() / len(model.labels)
    if not left < STILL:
        raise UserError(f"{where}: {method} has not come to rest in {steps} steps (gradient {left:.1g} an example)")
    return last.mean, last.covariance


def _rows(model: GLM, posterior: tuple[Array, Array], places: Array) -> pd.DataFrame:
    mean, covariance = posterior
    return pd.DataFrame(
        {
            "x": places[:, 0],
            "y": places[:, 1],
            "mean": model.logits(mean)[:, 0],
            "variance": model.logit_variance(covariance)[:, 0, 0],
            "noise": model.label_noise(mean, covariance)[:, 0],
        }
    )


def _plane(points: Array) -> Array:
    """Return the points of an even grid around the examples, ACROSS² × 2, x running fastest."""
    (left, low), (right, high) = points.min(axis=0) - MARGIN, points.max(axis=0) + MARGIN
    x, y = np.meshgrid(np.linspace(left, right, ACROSS), np.linspace(low, high, ACROSS))
    return np.column_stack([x.ravel(), y.ravel()])


def _features(degree: int, points: Array) -> Any:
    """Return the map from coordinates (N × 2) to features (N × P), a constant among them, scaled by `points`."""

    def monomials(places: Array) -> Array:
        x, y = places.T
        powers = [(i, total - i) for total in range(1, degree + 1) for i in range(total + 1)]
        return np.column_stack([x**i * y**j for i, j in powers])

    centre, scale = monomials(points).mean(axis=0), monomials(points).std(axis=0)

    def features(places: Array) -> Array:
        scaled = np.column_stack([np.ones(len(places)), (monomials(places) - centre) / scale])
        return np.asarray(scaled / np.sqrt(scaled.shape[1]))

    return features
