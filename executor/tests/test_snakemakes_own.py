"""Snakemake's own tests of an executor, on this machine's cluster."""

import contextlib

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase
from snakemake.settings.types import ResourceSettings

from snakemake_executor_plugin_submitit import ExecutorSettings

pytestmark = pytest.mark.slow


class TestLocal(TestWorkflowsLocalStorageBase):
    __test__ = True

    def get_executor(self):
        return "submitit"

    def get_executor_settings(self):
        return ExecutorSettings(cluster="local")

    def get_resource_settings(self):
        return ResourceSettings(default_resources=default_resources())


def default_resources():
    """Return ten minutes a job; older versions of Snakemake have a class for it."""
    with contextlib.suppress(ImportError):
        from snakemake.resources import DefaultResources

        return DefaultResources(["runtime=10"])
    return {"runtime": 10}


class TestDebug(TestLocal):
    def get_executor_settings(self):
        return ExecutorSettings(cluster="debug")
