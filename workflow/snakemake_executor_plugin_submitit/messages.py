"""Which jobs go up together: those of one rule with equal requests, at most as many as an array may have."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from snakemake_executor_plugin_submitit.request import Request

T = TypeVar("T")


def batches(jobs: Sequence[T], kind: Callable[[T], tuple[str, Request]], size: int) -> list[list[T]]:
    """Return all jobs, grouped by kind in the order of their coming, in pieces of at most `size`."""
    groups: dict[tuple[str, Request], list[T]] = {}
    for job in jobs:
        groups.setdefault(kind(job), []).append(job)
    return [group[start : start + size] for group in groups.values() for start in range(0, len(group), size)]
