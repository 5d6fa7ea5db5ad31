"""How a command of the library ends: a user's mistake, code that is just being written, Ctrl-C, a closed pipe."""

import os
import sys
from collections.abc import Callable

from adaptive_smoothing.core.errors import UserError

INTERRUPTED = 130  # as shells count it: 128 + SIGINT


def run_command(work: Callable[[], None]) -> int:
    """Do the work of a command and return its exit status; an error is one sentence on stderr."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except SyntaxError as error:  # code is read to be compared, and may just be being written
        print(f"error: {error.filename}, line {error.lineno}: {error.msg}", file=sys.stderr)
        return UserError.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `make status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
