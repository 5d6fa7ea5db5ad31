"""Signals that ask a training to save its state and stop, and the error that then ends it."""

import signal

from adaptive_smoothing.core.errors import UserError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class Stopped(UserError):
    """A signal stopped the run, after it saved its state."""

    exit_status = 75  # "temporary failure" of sysexits.h: a rerun resumes
