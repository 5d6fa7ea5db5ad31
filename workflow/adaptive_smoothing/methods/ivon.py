"""ivon: Improved Variational Online Newton (Shen et al. 2024; Alg. 1).

Learns a Gaussian over the weights with mean m and variances 1 / (λ (h + δ)): λ the effective sample size, h the
Hessian estimate, δ the weight decay. With `hessian: fixed` h stays at its initial value (Fig. 6), so Σ is fixed.
What the config does not name is as in Alg. 1 and the defaults of the authors' package `ivon-opt`: no clipping,
bias-corrected momentum, the learning rate scaled by h0 + δ, the Hessian estimated by reparametrisation ("price").
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adaptive_smoothing.core.options import BaseHyperparameters, BelowOne, Literal, Positive, PositiveInt
from adaptive_smoothing.methods._batch_norm import recompute_statistics
from adaptive_smoothing.methods._flat_ivon import FlatIVON
from adaptive_smoothing.methods.base import Batches, Context, Method

if TYPE_CHECKING:
    from adaptive_smoothing.methods._reference_ivon import ReferenceIVON


POSTERIOR = True


class Hyperparameters(BaseHyperparameters):
    """IVON's: h0 (`hess_init`), β1, β2, λ / N, Monte-Carlo samples a step, and whether h is learned.

    `batch_norm`: 'sampled' keeps the running statistics gathered under sampled weights in training; 'mean' estimates
    them anew at the mean weights before an evaluation. `implementation`: 'flat' is this project's own, 'reference' is
    `ivon-opt`, which takes several times as long and gives the same trajectory up to rounding.
    """

    hess_init: Positive
    beta1: BelowOne
    beta2: BelowOne
    ess_per_example: Positive
    train_mc_samples: PositiveInt
    hessian: Literal["learned", "fixed"]
    batch_norm: Literal["sampled", "mean"]
    implementation: Literal["flat", "reference"] = "flat"


class IVON(Method):
    """Variational learning: gradients at sampled weights move the mean and the variances."""

    optimizer: "FlatIVON | ReferenceIVON"

    def __init__(self, model: nn.Module, hyperparameters: Hyperparameters, context: Context) -> None:
        super().__init__(model, hyperparameters, context)
        self.mc_samples = self.gradients_per_step = hyperparameters.train_mc_samples
        self.reestimates = hyperparameters.batch_norm == "mean"
        self.optimizer = _implementation(hyperparameters.implementation)(
            model.parameters(),
            lr=hyperparameters.lr,
            ess=hyperparameters.ess_per_example * context.train_size,
            hess_init=hyperparameters.hess_init,
            beta1=hyperparameters.beta1,
            beta2=hyperparameters.beta2 if hyperparameters.hessian == "learned" else 1.0,
            weight_decay=hyperparameters.weight_decay,
            mc_samples=hyperparameters.train_mc_samples,
        )

    def step(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        total = torch.zeros((), device=images.device)
        for _ in range(self.mc_samples):
            self.optimizer.zero_grad()
            with self.optimizer.sampled_params(train=True):
                loss = functional.cross_entropy(self.model(images), labels)
                loss.backward()
            total += loss.detach()
        self.optimizer.step()
        return total / self.mc_samples

    @contextlib.contextmanager
    def sampled_weights(self) -> Iterator[None]:
        with self.optimizer.sampled_params():
            yield

    @contextlib.contextmanager
    def evaluation_mode(self, batches: Batches) -> Iterator[None]:
        if self.reestimates:
            recompute_statistics(self.model, batches)
        yield

    def posterior_std(self) -> dict[str, Tensor]:
        """Return (λ (h + δ))^(-1/2) of each parameter, in the parameter's shape."""
        std = self.optimizer.posterior_std()
        return {name: std[parameter] for name, parameter in self.model.named_parameters()}


def _implementation(name: str) -> "type[FlatIVON] | type[ReferenceIVON]":
    if name == "flat":
        return FlatIVON
    from adaptive_smoothing.methods._reference_ivon import ReferenceIVON  # imports ivon-opt only where it is asked for

    return ReferenceIVON
