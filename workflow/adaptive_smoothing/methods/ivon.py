"""ivon: Improved Variational Online Newton (Shen et al. 2024; Alg. 1) by the package `ivon-opt`.

Learns a Gaussian over the weights with mean m and variances 1 / (λ (h + δ)): λ the effective sample size, h the
Hessian estimate, δ the weight decay. With `hessian: fixed` h stays at its initial value (Fig. 6), so Σ is fixed.
What the config does not name is as in Alg. 1 and the package's defaults: no clipping, bias-corrected momentum, the
learning rate scaled by h0 + δ, the Hessian estimated by reparametrisation ("price").
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from ivon import IVON
from torch import Tensor, nn
from torch.nn import functional

from adaptive_smoothing.batch_norm import at_current_weights
from adaptive_smoothing.methods import Batches, Context, Method
from adaptive_smoothing.options import BaseHyperparameters, Fraction, Literal, Positive, PositiveInt


class Hyperparameters(BaseHyperparameters):
    """IVON's: h0 (`hess_init`), β1, β2, λ / N, Monte-Carlo samples a step, and whether h is learned.

    `batch_norm`: 'sampled' keeps the running statistics gathered under sampled weights in training; 'mean' estimates
    them anew at the mean weights before an evaluation.
    """

    hess_init: Positive
    beta1: Fraction
    beta2: Fraction
    ess_per_example: Positive
    mc_samples: PositiveInt
    hessian: Literal["learned", "fixed"]
    batch_norm: Literal["sampled", "mean"]


class Training(Method):
    """Variational learning: gradients at sampled weights move the mean and the variances."""

    optimizer: IVON

    def __init__(self, model: nn.Module, hyperparameters: Hyperparameters, context: Context) -> None:
        super().__init__(model, hyperparameters, context)
        self.mc_samples = self.gradients_per_step = hyperparameters.mc_samples
        self.reestimates = hyperparameters.batch_norm == "mean"
        self.optimizer = IVON(
            model.parameters(),
            lr=hyperparameters.lr,
            ess=hyperparameters.ess_per_example * context.train_size,
            hess_init=hyperparameters.hess_init,
            beta1=hyperparameters.beta1,
            beta2=hyperparameters.beta2 if hyperparameters.hessian == "learned" else 1.0,
            weight_decay=hyperparameters.weight_decay,
            mc_samples=hyperparameters.mc_samples,
        )

    def step(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        total = torch.zeros((), device=images.device)
        for _ in range(self.mc_samples):
            self.optimizer.zero_grad()
            with self._sampled(train=True):
                loss = functional.cross_entropy(self.model(images), labels)
                loss.backward()
            total += loss.detach()
        self.optimizer.step()
        return total / self.mc_samples

    @contextlib.contextmanager
    def _sampled(self, train: bool) -> Iterator[None]:
        """Hold sampled weights; after an error put the mean back (`ivon-opt` alone leaves the sample in place)."""
        weights = [parameter.data for parameter in self.model.parameters()]
        with self.optimizer.sampled_params(train=train):
            try:
                yield
            except BaseException:
                for parameter, weight in zip(self.model.parameters(), weights, strict=True):
                    parameter.data = weight
                raise

    @contextlib.contextmanager
    def sampled_weights(self) -> Iterator[None]:
        with self._sampled(train=False):
            yield

    @contextlib.contextmanager
    def evaluation_ready(self, batches: Batches) -> Iterator[None]:
        if self.reestimates:
            at_current_weights(self.model, batches)
        yield

    def posterior_std(self) -> dict[str, Tensor]:
        """Return (λ (h + δ))^(-1/2) of each parameter, in the parameter's shape."""
        result = {}
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        for group in self.optimizer.param_groups:
            std = (group["ess"] * (group["hess"] + group["weight_decay"])).rsqrt()
            offset = 0
            for parameter in group["params"]:
                result[names[parameter]] = std[offset : offset + parameter.numel()].view_as(parameter)
                offset += parameter.numel()
        return result

    def state_dict(self) -> dict[str, Any]:
        # ivon-opt leaves its step count out, with which it corrects the momentum's bias
        return {**super().state_dict(), "current_step": self.optimizer.current_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.optimizer.current_step = state["current_step"]
        if self.optimizer.current_step > 0:
            self._lay_out_as_one_vector()

    def _lay_out_as_one_vector(self) -> None:
        """Give the weights the places in memory that ivon-opt's step leaves them in: slices of one vector.

        Matrix products round by the alignment of their operands, so a resumed run would differ in the last bit
        where it is evaluated before its first step.
        """
        parameters = list(self.model.parameters())
        vector = torch.cat([parameter.data.flatten() for parameter in parameters])
        pieces = vector.split([parameter.numel() for parameter in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.data = piece.view(parameter.shape)
