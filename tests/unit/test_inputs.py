"""Inputs that are newer than what a job makes of them, and results that are kept until a job has them as inputs."""

import os
import re
import time

import pytest

from adaptive_smoothing.core import finished
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.runtime import inputs


def made(folder, name, ahead):
    path = folder / name
    path.write_text("x")
    os.utime(path, (time.time() + ahead, time.time() + ahead))
    return str(path)


def test_an_input_of_the_future_is_refused_before_the_work(tmp_path):
    files = [made(tmp_path, "old", -100), made(tmp_path, "new", 1800), made(tmp_path, "newer", 3600)]
    with pytest.raises(UserError) as error:
        inputs.accept(files, str(tmp_path))
    assert re.sub(r"\d+ s in", "N s in", str(error.value)) == (
        f"{files[1]}: its modification time lies N s in the future, so Snakemake would delete what this job makes of "
        f"it; set the clock right, or type: touch {files[1]} {files[2]}"
    )


def test_of_many_the_command_finds_them(tmp_path):
    files = [made(tmp_path, str(number), 1800) for number in range(10)]
    with pytest.raises(UserError, match=r"type: find data results -newermt now -exec touch \{\} \+$"):
        inputs.accept(files, str(tmp_path))


def test_a_small_difference_of_clocks_is_waited_out(tmp_path):
    file = made(tmp_path, "a", 0.3)
    inputs.accept([file, str(tmp_path / "absent")], str(tmp_path))
    (tmp_path / "output").write_text("x")
    assert (tmp_path / "output").stat().st_mtime >= os.stat(file).st_mtime


def test_the_clock_of_the_file_system_decides(tmp_path, monkeypatch):
    """A file server ahead of this machine: its files are not of the future, for what is made now is as new."""
    monkeypatch.setattr(inputs, "_now", lambda folder: time.time() + 3600)
    inputs.accept([made(tmp_path, "a", 3500)], str(tmp_path))


def test_a_folder_that_takes_no_probe_leaves_this_machines_clock(tmp_path):
    with pytest.raises(UserError, match="in the future"):
        inputs.accept([made(tmp_path, "a", 1800)], str(tmp_path / "absent"))


def test_results_are_kept_until_a_job_has_them_as_inputs(tmp_path):
    metrics = tmp_path / "metrics.parquet"
    metrics.write_text("rows")
    finished.keep([metrics], {"code": "a"})
    metrics.unlink()
    assert finished.restore([metrics], {"code": "a"}) and metrics.read_text() == "rows"
    inputs.accept([str(metrics)], str(tmp_path))
    assert os.listdir(tmp_path) == ["metrics.parquet"]
    assert not finished.restore([metrics], {"code": "a"})


def test_results_of_something_else_are_deleted(tmp_path):
    metrics = tmp_path / "metrics.parquet"
    metrics.write_text("rows")
    finished.keep([metrics], {"code": "a"})
    metrics.unlink()
    assert not finished.restore([metrics], {"code": "b"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["", "[1]", '{"identity": {"code": "a"}, "results": ["metrics.parquet"]}'])
def test_a_kept_result_that_is_damaged_or_gone_serves_nobody(tmp_path, content):
    (tmp_path / finished.FILE).write_text(content)
    assert not finished.restore([tmp_path / "metrics.parquet"], {"code": "a"})
    assert not (tmp_path / "metrics.parquet").exists()


def test_a_disk_that_refuses_the_second_copy_costs_nothing_else(tmp_path, capsys):
    finished.keep([tmp_path / "absent"], {"code": "a"})
    assert "the results cannot be kept a second time" in capsys.readouterr().out
    assert os.listdir(tmp_path) == []
