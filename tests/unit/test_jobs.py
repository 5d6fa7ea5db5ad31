"""What the Snakefile asks of a machine before anything starts."""

import os
import pwd
import subprocess
import sys

import pytest

from adaptive_smoothing.pipeline.runtime import jobs, orphans


def test_a_disk_without_room_stops_snakemake_before_anything_starts(tmp_path):
    code = (
        "import resource, sys, pathlib; from adaptive_smoothing.core import errors\n"
        "from adaptive_smoothing.pipeline.runtime import jobs\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: jobs.check_writable(pathlib.Path(sys.argv[1]))\n"
        "except errors.UserError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"cannot write in {tmp_path}: File too large; nothing was started\n"
    assert os.listdir(tmp_path) == []


def test_jobs_get_an_environment_that_does_not_depend_on_where_snakemake_was_started(monkeypatch):
    """From a notebook, from a terminal without UTF-8, in a container whose user has no name."""

    def nameless(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(os, "environ", {"MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    monkeypatch.setattr(pwd, "getpwuid", nameless)
    jobs.offer_environment()
    assert os.environ["MPLBACKEND"] == "Agg"
    assert os.environ["PYTHONUTF8"] == "1"
    assert os.environ["USER"] == f"user-{os.getuid()}"
    assert os.environ[orphans.VARIABLE].split(" ")[1] == str(os.getpid())


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no such backend"])
def test_figures_are_drawn_whatever_backend_a_notebook_names(backend):
    code = "from adaptive_smoothing.figures import _style; import matplotlib; print(matplotlib.get_backend())"
    environment = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.lower()) == (0, "agg\n"), done.stderr


TALKING = """
from adaptive_smoothing.core.log import log

def talk():
    for _ in range(500):
        log("x" * 100)
"""


def executed(folder, function, log):
    """Execute a function of a job that logs much, in a process of its own; return what the process did."""
    (folder / "talking_job.py").write_text(TALKING)
    code = (
        "import sys; sys.path.append('.'); from adaptive_smoothing.pipeline.runtime import execute\n"
        f"sys.exit(execute.execute('talking_job:{function}', {log!r}, {{}}) + 40)"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("place", ["/dev/full", "absent/log"])
def test_a_log_that_cannot_be_written_costs_no_job(tmp_path, place):
    """A full disk; a folder that is gone or read-only."""
    done = executed(tmp_path, "talk", place)
    assert done.returncode == 40, done.stderr
    assert ("cannot be written" in done.stderr) == (place != "/dev/full")
    failed = executed(tmp_path, "absent", place)
    assert failed.returncode == 41
    assert failed.stderr.count("error: AttributeError") == 1


def test_a_closed_terminal_changes_no_status(tmp_path):
    (tmp_path / "talking_job.py").write_text(TALKING)
    code = (
        "import os, sys; from adaptive_smoothing.pipeline.runtime import execute\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 2)\n"
        "os._exit(execute.execute('talking_job:absent', 'log', {}) + 40)"
    )
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.append('.')\n{code}"], cwd=tmp_path)
    assert done.returncode == 41
    assert "error: AttributeError" in (tmp_path / "log").read_text()
