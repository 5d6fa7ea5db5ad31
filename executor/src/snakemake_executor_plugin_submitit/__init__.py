"""Snakemake executor plugin: jobs go through submitit to SLURM (or to this machine), and nothing is lost on the way.

Snakemake looks for three names here. They are resolved when asked for, so that what runs on a node (see node.py) does
not import Snakemake's interface for nothing, and nothing here imports submitit before the first job.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.executor import Executor as Executor
    from snakemake_executor_plugin_submitit.settings import ExecutorSettings as ExecutorSettings
    from snakemake_executor_plugin_submitit.settings import common_settings as common_settings

_WHERE = {"Executor": "executor", "ExecutorSettings": "settings", "common_settings": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
