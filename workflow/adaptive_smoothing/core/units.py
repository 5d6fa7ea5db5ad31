"""Times in words."""

import math


def span(seconds: float) -> str:
    """Return a time in words, rounded: '8.3 s', '34 min', '2.5 h', '4,200 h'."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def duration(seconds: float) -> str:
    """Return a duration as people read it: '2 d 03:04:05', '01:02:03'."""
    if not math.isfinite(seconds):
        return "unknown"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02d}:{minutes:02d}:{whole:02d}"
