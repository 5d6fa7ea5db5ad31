"""Log lines: what a job says to the people who read its log."""


def log(line: str) -> None:
    """Write a line to the log at once."""
    print(line, flush=True)
