"""Signals that ask a training to save its state and stop, and the error that then ends it."""

import signal

from adaptive_smoothing.core.errors import UserError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class Stopped(UserError):
    """The run was told to stop and has saved its state."""

    exit_status = 75  # "temporary failure" of sysexits.h: started again, the run goes on
