"""Folders that are not ours keep their mode, and another user's folder is refused."""

import os
import stat

import pytest

from snakemake_executor_plugin_submitit import folders


def mode(folder):
    return stat.S_IMODE(folder.stat().st_mode)


@pytest.mark.parametrize("bits", [0o2775, 0o1777, 0o755, 0o700])
def test_a_folder_that_exists_keeps_its_mode(tmp_path, bits):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(bits)
    assert folders.own(shared) == folders.private(shared) == shared
    assert mode(shared) == bits


def test_a_folder_that_is_made_is_private(tmp_path):
    assert mode(folders.own(tmp_path / "deep" / "er")) == 0o700
    assert mode(folders.rule_folder(folders.private(tmp_path / "run"), "a%b")) == 0o700


def test_another_users_folder_is_refused_with_a_way_out(tmp_path, monkeypatch):
    other = tmp_path.stat().st_uid + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda file: os.stat_result([*fstat(file)[:4], other, *fstat(file)[5:]]))
    with pytest.raises(
        folders.BadFolder, match=r"belongs to user \w+, .* set a folder of your own with --submitit-folder"
    ):
        folders.own(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(folders.BadFolder, match=r"cannot be used \(.*\); set a folder of your own"):
        folders.own(tmp_path / "file" / "folder")
    with pytest.raises(folders.BadFolder, match="cannot be used"):
        folders.own(tmp_path / "file")
