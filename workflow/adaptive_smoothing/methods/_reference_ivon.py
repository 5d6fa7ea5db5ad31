"""IVON by its authors' package `ivon-opt`: what `_flat_ivon` is tested against."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ivon import IVON
from torch import Tensor, cat, nn


class ReferenceIVON(IVON):  # type: ignore[misc]
    """`ivon-opt`, its weights put back after errors and its state complete."""

    @contextlib.contextmanager
    def sampled_params(self, train: bool = False) -> Iterator[None]:
        """Hold sampled weights; after an error put the mean back (`ivon-opt` alone leaves the sample in place)."""
        weights = [(parameter, parameter.data) for parameter in self._parameters()]
        with super().sampled_params(train=train):
            try:
                yield
            except BaseException:
                for parameter, weight in weights:
                    parameter.data = weight
                raise

    def posterior_std(self) -> dict[nn.Parameter, Tensor]:
        """Return (λ (h + δ))^(-1/2) of each parameter, in its shape."""
        result = {}
        for group in self.param_groups:
            std = (group["ess"] * (group["hess"] + group["weight_decay"])).rsqrt()
            sizes = [parameter.numel() for parameter in group["params"]]
            for parameter, piece in zip(group["params"], std.split(sizes), strict=True):
                result[parameter] = piece.view(parameter.shape)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the state with the step count, which corrects the momentum's bias and which `ivon-opt` leaves out."""
        return {**super().state_dict(), "current_step": self.current_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "current_step"})
        self.current_step = state_dict["current_step"]
        if self.current_step > 0:
            self._lay_out_as_one_vector()

    def _lay_out_as_one_vector(self) -> None:
        """Give the weights the places in memory that `ivon-opt`'s step leaves them in: slices of one vector a group.

        Matrix products round by the alignment of their operands, so a resumed run would differ in the last bit
        where it is evaluated before its first step.
        """
        for group in self.param_groups:
            parameters = group["params"]
            vector = cat([parameter.data.flatten() for parameter in parameters])
            pieces = vector.split([parameter.numel() for parameter in parameters])
            for parameter, piece in zip(parameters, pieces, strict=True):
                parameter.data = piece.view(parameter.shape)

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]
