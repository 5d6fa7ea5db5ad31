"""IVON's step (Shen et al. 2024, Alg. 1) on flat vectors, all of it in place.

IVON learns a Gaussian over the weights with mean m and variances 1 / (λ (h + δ)): λ the effective sample size, h the
Hessian estimate, δ the weight decay. With d = h + δ, the damped Hessian, one step of Alg. 1 reads

    θ = m + e / √(λ d),  e ~ N(0, I)                                    a sample of the weights
    ĝ = ∇ℓ(θ),  ĥ = ĝ (θ - m) λ d = √(λ d) e ĝ                          both averaged over the samples
    g ← β₁ g + (1 - β₁) ĝ
    h ← β₂ h + (1 - β₂) ĥ + ½ (1 - β₂)² (h - ĥ)² / d
    m ← m - α (h₀ + δ) clip((g / (1 - β₁ᵗ) + δ m) / (h + δ))

The parameters are views of one vector a group, so that a step is some twenty operations on vectors, whatever the number
of layers. On the CPU they are done block by block, so that a block stays in the cache from one operation to the next.
Learning rate and step count are tensors on the device: nothing in a step waits for it or depends on its values.

The random numbers are one `torch.randn` a group and sample, in the order of the parameters and of their elements by
index, as `ivon-opt` draws them: the same seed gives the same trajectory, up to rounding.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

ALIGNMENT = 16  # elements: 64 bytes of float32, as torch aligns tensors; matrix products round by it
BLOCK = 1 << 17  # elements of a vector that are worked on together on the CPU


class FlatIVON(torch.optim.Optimizer):
    """IVON on flat vectors.

    A step is `mc_samples` times a backward pass within `sampled_params(train=True)`, then `step()`. The parameters'
    memory is replaced by slices of one vector, in each parameter's own memory format. Whoever moves the model
    afterwards (`model.to`) is followed at the next sample. `lr` in `param_groups` is a tensor: set it in place.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        ess: float,
        hess_init: float,
        beta1: float,
        beta2: float,
        weight_decay: float,
        mc_samples: int = 1,
        clip_radius: float = math.inf,
        debias: bool = True,
        rescale_lr: bool = True,
    ) -> None:
        """Take α, λ, h₀, β₁, β₂ (1: h never changes) and δ, each of which a parameter group may set for itself.

        `clip_radius` bounds an update's elements before α (h₀ + δ); `debias`: divide g by 1 - β₁ᵗ; `rescale_lr`:
        multiply α by h₀ + δ.
        """
        settings = {"lr": lr, "ess": ess, "hess_init": hess_init, "beta1": beta1, "beta2": beta2}
        super().__init__(params, {**settings, "weight_decay": weight_decay, "clip_radius": clip_radius})
        self.mc_samples, self.debias, self.rescale_lr = mc_samples, debias, rescale_lr
        self._collected, self._sampled = 0, False
        self._lay_out()

    @contextlib.contextmanager
    def sampled_params(self, train: bool = False) -> Iterator[None]:
        """Hold a sample of the weights, then put the mean back bit for bit, errors included.

        `train`: keep the gradients of the backward pass done meanwhile for `step`, and clear them. Raises ValueError
        for a parameter without one, RuntimeError where a sample is held already.
        """
        if self._sampled:
            raise RuntimeError("ivon: a sample of the weights is held already")
        if any(vectors.moved() for vectors in self._groups):
            self._lay_out()
        for vectors in self._groups:
            vectors.sample()
        self._sampled = True
        try:
            yield
            if train:
                self._collect()
        except BaseException:
            self._collected = 0
            raise
        finally:
            for vectors in self._groups:
                vectors.restore()
            self._sampled = False

    def _collect(self) -> None:
        for vectors in self._groups:
            vectors.collect(self._collected, self.mc_samples)
        self._collected += 1

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the posterior; raise RuntimeError unless the gradients of `mc_samples` samples were kept."""
        if self._collected != self.mc_samples:
            raise RuntimeError(f"ivon: a step takes {self.mc_samples} samples, but got {self._collected}")
        for group, vectors in zip(self.param_groups, self._groups, strict=True):
            group["step"] += 1
            scale = group["hess_init"] + group["weight_decay"] if self.rescale_lr else 1.0
            correction = 1.0 - group["beta1"] ** group["step"] if self.debias else torch.ones_like(group["step"])
            vectors.step(group["lr"] * scale, correction.reciprocal())
        self._collected = 0

    def posterior_std(self) -> dict[nn.Parameter, Tensor]:
        """Return (λ (h + δ))^(-1/2) of each parameter, in its shape."""
        return {
            parameter: (group["ess"] * self.state[parameter]["damped_hessian"]).rsqrt()
            for group in self.param_groups
            for parameter in group["params"]
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned: g, h + δ, the step count and the groups' settings."""
        super().load_state_dict(state_dict)
        self._lay_out()

    @torch.no_grad()
    def _lay_out(self) -> None:
        """Put parameters and state, as they are now, into vectors."""
        for group in self.param_groups:
            device = group["params"][0].device
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float64, device=device)
            group["step"] = torch.as_tensor(group.get("step", 0.0), dtype=torch.float64, device=device)
        self._groups = [_Vectors(group, self.state, self.mc_samples) for group in self.param_groups]
        self._collected = 0


class _Block(NamedTuple):
    """The same elements of all vectors of a group; `product` becomes e ĝ, `scratch` is of use within a block only."""

    weights: Tensor
    mean: Tensor
    momentum: Tensor
    damped: Tensor
    noise: Tensor
    product: Tensor
    gradient: Tensor
    scratch: Tensor


class _Vectors:
    """One group's weights and state as vectors, a slice a parameter, and the arithmetic on them.

    `weights` is what the model holds: the mean m or, while `mean` keeps m, a sample. `damped` is h + δ.
    """

    def __init__(self, group: dict[str, Any], state: dict[Any, Any], samples: int) -> None:
        self.group, self.parameters = group, group["params"]
        self.places, self.size = _places(self.parameters)
        self.weights, self.mean, self.momentum, self.noise, self.gradient = (self._vector() for _ in range(5))
        self.damped = self._vector().fill_(group["hess_init"] + group["weight_decay"])
        # With several samples the means over them need vectors of their own.
        self.product, self.gradients = (self.noise, self.gradient) if samples == 1 else (self._vector(), self._vector())
        self.drawn, self.drawn_pieces = self._room_for_draws()
        self.noise_pieces, self.gradient_pieces = self._pieces(self.noise), self._pieces(self.gradient)
        self.blocks = self._blocks()
        self._adopt(state)

    def _vector(self) -> Tensor:
        return torch.zeros(self.size, dtype=self.parameters[0].dtype, device=self.parameters[0].device)

    def _pieces(self, vector: Tensor) -> list[Tensor]:
        """Return the vector's slices in the shapes and memory formats of the parameters."""
        return [
            vector.as_strided(parameter.shape, strides, offset)
            for parameter, (strides, offset) in zip(self.parameters, self.places, strict=True)
        ]

    def _room_for_draws(self) -> tuple[Tensor, list[Tensor]]:
        """Return a vector without gaps for the draws, and its pieces; `noise` itself and none if it is laid out so."""
        sizes = [parameter.numel() for parameter in self.parameters]
        gapless = torch.empty(sum(sizes), dtype=self.noise.dtype, device=self.noise.device)
        pieces = [
            piece.view(parameter.shape) for piece, parameter in zip(gapless.split(sizes), self.parameters, strict=True)
        ]
        offsets = [0, *itertools.accumulate(sizes)][:-1]
        if [(piece.stride(), offset) for piece, offset in zip(pieces, offsets, strict=True)] == self.places:
            return self.noise[: sum(sizes)], []
        return gapless, pieces

    def _blocks(self) -> list[_Block]:
        length = min(BLOCK, self.size) if self.weights.device.type == "cpu" else self.size
        scratch = self.noise.new_empty(length)
        vectors = (self.weights, self.mean, self.momentum, self.damped, self.noise, self.product, self.gradients)
        scratches = [scratch[: len(part)] for part in self.weights.split(length)]
        return [_Block(*block) for block in zip(*(vector.split(length) for vector in vectors), scratches, strict=True)]

    def _adopt(self, state: dict[Any, Any]) -> None:
        """Copy weights and state into the vectors; let parameters and `state` look at them there."""
        pieces = zip(*(self._pieces(vector) for vector in (self.weights, self.momentum, self.damped)), strict=True)
        for parameter, (weight, momentum, damped) in zip(self.parameters, pieces, strict=True):
            weight.copy_(parameter)
            if parameter in state:
                momentum.copy_(state[parameter]["momentum"])
                damped.copy_(state[parameter]["damped_hessian"])
            parameter.data = weight
            state[parameter] = {"momentum": momentum, "damped_hessian": damped}
        self.addresses = [parameter.data_ptr() for parameter in self.parameters]

    def moved(self) -> bool:
        """Return whether a parameter no longer looks at its place in `weights`."""
        return [parameter.data_ptr() for parameter in self.parameters] != self.addresses

    @torch.no_grad()
    def sample(self) -> None:
        """Keep m and set the weights to a sample."""
        self.drawn.normal_()
        if self.drawn_pieces:
            torch._foreach_copy_(self.noise_pieces, self.drawn_pieces)
        factor = self.group["ess"] ** -0.5
        for block in self.blocks:
            block.mean.copy_(block.weights)
            block.weights.addcdiv_(block.noise, torch.sqrt(block.damped, out=block.scratch), value=factor)

    @torch.no_grad()
    def restore(self) -> None:
        """Set the weights to m again."""
        self.weights.copy_(self.mean)

    @torch.no_grad()
    def collect(self, before: int, samples: int) -> None:
        """Take the gradients out of the parameters; `before`: how many of the step's samples came earlier."""
        gradients = [parameter.grad for parameter in self.parameters]
        if any(gradient is None for gradient in gradients):
            raise ValueError("ivon: a parameter that is trained got no gradient")
        torch._foreach_copy_(self.gradient_pieces, gradients)
        for parameter in self.parameters:
            parameter.grad = None
        if samples > 1:
            if before == 0:
                self.product.zero_()
                self.gradients.zero_()
            self.product.addcmul_(self.noise, self.gradient, value=1.0 / samples)
            self.gradients.add_(self.gradient, alpha=1.0 / samples)

    def step(self, rate: Tensor, inverse_correction: Tensor) -> None:
        """Update g, h and m; `rate` and 1 / (1 - β₁ᵗ) are scalars on the device."""
        group, single = self.group, self.product is self.noise
        for block in self.blocks:
            if single:
                block.product.mul_(block.gradient)
            block.momentum.lerp_(block.gradient, 1.0 - group["beta1"])
            if group["beta2"] != 1.0:
                self._update_hessian(block)
            update = torch.mul(block.momentum, inverse_correction, out=block.scratch)
            update.add_(block.weights, alpha=group["weight_decay"]).div_(block.damped)
            if group["clip_radius"] < math.inf:
                update.clamp_(-group["clip_radius"], group["clip_radius"])
            block.weights.sub_(update.mul_(rate))

    def _update_hessian(self, block: _Block) -> None:
        """Add (1 - β₂) (ĥ - h) + ½ (1 - β₂)² (ĥ - h)² / d to d = h + δ, which so stays positive."""
        change = 1.0 - self.group["beta2"]
        root = torch.sqrt(block.damped, out=block.scratch)
        gap = block.product  # becomes h - ĥ
        torch.addcmul(block.damped, block.product, root, value=-(self.group["ess"] ** 0.5), out=gap)
        gap.sub_(self.group["weight_decay"])
        block.damped.add_(gap, alpha=-change)
        gap.div_(root)
        block.damped.addcmul_(gap, gap, value=0.5 * change**2)


def _places(parameters: list[nn.Parameter]) -> tuple[list[tuple[tuple[int, ...], int]], int]:
    """Return each parameter's strides and (aligned) offset in a vector, and the vector's size."""
    strides = [torch.empty_like(parameter, device="meta").stride() for parameter in parameters]
    sizes = [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in parameters]
    offsets = [0, *itertools.accumulate(sizes)]
    return list(zip(strides, offsets, strict=False)), offsets[-1]
