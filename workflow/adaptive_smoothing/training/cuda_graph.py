"""Whole training steps as a CUDA graph (`performance.cuda_graph` of a setup): captured once, then replayed without Python.

A step can be captured if it only launches work on the device: nothing in it may wait for a value, and all that it reads
or changes must stay where it is. The methods here are written so; a model may not be.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from adaptive_smoothing.core.log import log

WARM_UP = 3  # steps before the capture, in which libraries choose kernels and optimizers make their state
Step = Callable[[Tensor, Tensor, Tensor], Tensor]
Replay = Callable[[], Tensor]


class CapturedStep:
    """Does a method's steps, as replays of a captured one where that can be; else one by one, with a line in the log.

    What replays return stays theirs: it holds the loss until the next step.
    """

    def __init__(
        self,
        step: Step,
        batch_size: int | None,
        device: torch.device,
        capture: Callable[[Replay], Replay] | None = None,
    ) -> None:
        """Take a method's `step`, and the size of the batches to capture it for (None: never).

        `capture` makes a replay out of a step without arguments (None: as a CUDA graph, where there is a GPU).
        """
        self.step, self.batch_size, self.done = step, batch_size, 0
        self.capture = capture or (capture if device.type == "cuda" else None)
        self.inputs: tuple[Tensor, ...] = ()
        self.replay: Replay | None = None
        self.told: set[str] = set()
        if batch_size is not None and self.capture is None:
            self._fall_back("there is no GPU")

    def __call__(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Do one step on a batch; arguments and result are those of `Method.step`."""
        given = (images, labels, indices)
        if self.batch_size is None:
            return self.step(*given)
        if len(images) != self.batch_size:
            self._tell(f"a batch of {len(images)} instead of {self.batch_size} images is done by itself")
            return self.step(*given)
        if self.done < WARM_UP:
            self.done += 1
            return _beside(lambda: self.step(*given), images.device)
        if self.replay is None:
            self._capture(given)
            if self.replay is None:
                return self.step(*given)
        for kept, new in zip(self.inputs, given, strict=True):
            kept.copy_(new)
        return self.replay()

    def _capture(self, given: tuple[Tensor, ...]) -> None:
        assert self.capture is not None
        self.inputs = tuple(tensor.clone() for tensor in given)
        try:
            self.replay = self.capture(lambda: self.step(*self.inputs))
        except Exception as error:  # whatever a model or method does that no graph can hold
            self._fall_back(f"this model or method cannot be captured ({type(error).__name__}: {error})")

    def _fall_back(self, reason: str) -> None:
        self.batch_size = None
        self._tell(f"{reason}; steps are done one by one")

    def _tell(self, line: str) -> None:
        if line not in self.told:
            log(f"cuda_graph: {line}")
            self.told.add(line)


def capture(step: Replay) -> Replay:
    """Return a replay of `step` as a CUDA graph; `step` is traced, but not done."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def _beside(step: Replay, device: torch.device) -> Tensor:
    """Do `step`; on a GPU in a stream of its own, as torch asks of the steps before a capture."""
    if device.type != "cuda":
        return step()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        loss = step()
    torch.cuda.current_stream().wait_stream(stream)
    return loss
