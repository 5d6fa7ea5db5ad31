"""Call a function of the library as a job: its output goes to the log, an error becomes one sentence and a status."""

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import announcing_on


def execute(target: str, log: str, arguments: dict[str, Any], gpus: int | None = None) -> int:
    """Call `target` ('module:function') in this process, its output going to `log`; return its exit status."""
    with _output_in(log) as redirected:
        try:
            with _own_gpus(gpus):
                _function(target)(**arguments)
            return 0
        except UserError as error:
            status, message = error.exit_status, f"error: {error}\n"
        except Exception as error:
            with contextlib.suppress(OSError):
                traceback.print_exc()
            status, message = 1, f"error: {type(error).__name__}: {error}; see {log}\n"
        _flush()
        _say(message)
    if redirected:
        _say(message)  # on the terminal, too
    return status


def _say(message: str) -> None:
    """Write to stderr, be it the log or the terminal; a full disk or a closed terminal changes no status."""
    with contextlib.suppress(OSError):
        os.write(2, message.encode(errors="backslashreplace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def _own_gpus(number: int | None) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which this process has so many GPUs for itself; None: it sees all of them."""
    if number is None:
        return contextlib.nullcontext()
    from adaptive_smoothing.pipeline.runtime.gpus import taken  # imports filelock, which few jobs need

    return taken(number)


@contextlib.contextmanager
def _output_in(log: str) -> Iterator[bool]:
    """Redirect stdout and stderr to file `log`, also for libraries written in C; yield whether that is possible."""
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        _say(f"{log}: cannot be written ({error.strerror}); what this job says follows here\n")
        yield False
        return
    kept = [os.dup(1), os.dup(2)]
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    try:
        with announcing_on(kept[1]):
            yield True
    finally:
        _flush()
        for stream, original in zip((1, 2), kept, strict=True):
            os.dup2(original, stream)
            os.close(original)


def _function(target: str) -> Callable[..., None]:
    module, name = target.split(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), name)
    return function
