"""Whole training steps as a CUDA graph (`performance.cuda_graph` of a setup): captured once, then replayed.

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
    """Does a method's steps as replays of a captured one; where that is impossible one by one, with a line in the log.

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

        `capture` makes a replay out of a step without arguments (None: as a CUDA graph, if `device` is a GPU).
        """
        self.step, self.batch_size, self.done = step, batch_size, 0
        self.capture = capture or (capture_graph if device.type == "cuda" else None)
        self.inputs: tuple[Tensor, ...] = ()
        self.replay: Replay | None = None
        self.other_sizes: set[int] = set()  # of batches that the graph does not fit
        if batch_size is not None and self.capture is None:
            self.batch_size = None
            log("cuda_graph: there is no GPU; steps run one by one")

    def __call__(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Do one step on a batch; arguments and result are those of `Method.step`."""
        batch = (images, labels, indices)
        if self.batch_size is None or not self._fits(images):
            return self.step(*batch)
        if self.done < WARM_UP:
            self.done += 1
            return _in_own_stream(lambda: self.step(*batch), images.device)
        if self.replay is None and not self._capture(batch):
            return self.step(*batch)
        assert self.replay is not None
        for kept, new in zip(self.inputs, batch, strict=True):
            kept.copy_(new)
        return self.replay()

    def _fits(self, images: Tensor) -> bool:
        if len(images) == self.batch_size:
            return True
        if len(images) not in self.other_sizes:
            self.other_sizes.add(len(images))
            log(f"cuda_graph: a batch of {len(images)} images runs outside the graph, which is for {self.batch_size}")
        return False

    def _capture(self, batch: tuple[Tensor, ...]) -> bool:
        """Capture the step; return whether that was possible."""
        assert self.capture is not None
        self.inputs = tuple(tensor.clone() for tensor in batch)
        try:
            self.replay = self.capture(lambda: self.step(*self.inputs))
        except Exception as error:  # whatever a model or method does that no graph can hold
            self.batch_size = None
            log(
                f"cuda_graph: this model or method cannot be captured ({type(error).__name__}: {error}); "
                "steps run one by one"
            )
        return self.replay is not None


def capture_graph(step: Replay) -> Replay:
    """Return a replay of `step` as a CUDA graph; `step` is traced, but not done."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def _in_own_stream(step: Replay, device: torch.device) -> Tensor:
    """Do `step`; on a GPU in a stream of its own, as torch requires of the steps before a capture."""
    if device.type != "cuda":
        return step()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        loss = step()
    torch.cuda.current_stream().wait_stream(stream)
    return loss
