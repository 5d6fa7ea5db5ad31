"""The README's examples run as they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
LOCAL = ["--submitit-cluster", "local", "--jobs", "2", "--seconds-between-status-checks", "1", "--latency-wait", "5"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def run(folder, code):
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def quick_start(tmp_path):
    """Return a folder with the README's workflow and profile."""
    (tmp_path / "Snakefile").write_text(blocks("python")[0])
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text(blocks("yaml")[0])
    return tmp_path


@pytest.mark.slow
def test_the_quick_start_and_the_group(quick_start):
    commands = re.findall(
        r"^    (snakemake --profile profile .*?[^\\])\n", README.read_text(), re.DOTALL | re.MULTILINE
    )
    local, grouped = (re.sub(r"\\\n", " ", command).split()[1:] for command in commands)
    assert "local" in local and "squares=squares" not in local and "square=squares" in grouped
    for arguments in (local, grouped):
        command = [sys.executable, "-m", "snakemake", "--forceall", *arguments, *LOCAL]
        done = subprocess.run(command, cwd=quick_start, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        files = sorted((quick_start / "squares").iterdir())
        assert [file.read_text() for file in files] == ["0\n", "1\n", "4\n", "9\n"]
    tables = [path.read_text().splitlines()[1:] for path in quick_start.glob(".snakemake/submitit/*/jobs.tsv")]
    assert sorted(len(lines) for lines in tables) == [1, 4]


def test_the_job_that_saves_and_resumes(tmp_path):
    code = next(block for block in blocks("python") if "signal.signal" in block)
    signalled = run(tmp_path, code.replace("...  #", "signal.raise_signal(signal.SIGUSR2)  #"))
    assert signalled.returncode == 1 and json.loads((tmp_path / "state.json").read_text()) == 1
    assert run(tmp_path, code.replace("...  #", "print(step)  #")).stdout.split() == [str(n) for n in range(1, 1000)]
    assert not (tmp_path / "state.json").exists()


def test_the_status(tmp_path):
    code = next(block for block in blocks("python") if "read_jobs" in block)
    done = run(tmp_path, code)
    assert done.returncode == 0 and done.stdout == "", done.stderr
