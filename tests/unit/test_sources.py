"""What a file records of the checkout, and the files that no commit holds: kept in a table, and restored from it."""

import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from adaptive_smoothing.core import environment, parquet, sources
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.sources import MadeFrom
from adaptive_smoothing.pipeline import scale_files
from adaptive_smoothing.pipeline.commands import restore

METHOD = "workflow/adaptive_smoothing/methods/mine.py"
SCALE = "config/mine.yaml"


def git(folder: Path, *arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, env=own, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, file: str, text: str = "text\n") -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Return a committed project, which is the working directory and the library's own."""
    folder = tmp_path / "a project"
    for file in ("Snakefile", "config/small.yaml", "workflow/adaptive_smoothing/methods/sam.py", "README.md"):
        write(folder, file)
    write(folder, ".gitignore", "/results/\n__pycache__/\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    monkeypatch.chdir(folder)
    real = environment.checkout
    monkeypatch.setattr(environment, "checkout", lambda project=folder: real(project))
    return folder


def test_a_clean_checkout_is_its_commit(project):
    write(project, "results/x.parquet")
    write(project, "workflow/__pycache__/x.pyc")
    write(project, "README.md", "changed")  # no result depends on it
    write(project, "notes.txt")
    assert environment.checkout().revision == git(project, "rev-parse", "HEAD")
    assert sources.kept(MadeFrom(scale_files=(SCALE,)))["files"] == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, METHOD),
        lambda folder: write(folder, SCALE),
        lambda folder: write(folder, "config/small.yaml", "changed"),
        lambda folder: (folder / "Snakefile").unlink(),
        lambda folder: git(folder, "mv", "config/small.yaml", "config/a b.yaml"),
        lambda folder: (write(folder, "rules/x.smk"), git(folder, "add", "rules")),
    ],
)
def test_any_file_that_is_not_as_in_the_commit_makes_it_modified(project, change):
    change(project)
    assert environment.checkout().revision == git(project, "rev-parse", "HEAD") + "-modified"


def test_paths_are_those_of_both_names_of_a_renamed_file(project):
    git(project, "mv", "config/small.yaml", "config/a b.yaml")
    write(project, "workflow/ü.py")
    assert environment.checkout().changed == ("config/a b.yaml", "config/small.yaml", "workflow/ü.py")


def test_a_repository_around_the_project_is_not_its_own(project):
    release = project / "release"
    write(release, "config/small.yaml")
    assert environment.checkout(release).revision == "unknown (no checkout)"


def test_variables_of_another_repository_are_not_believed(project, tmp_path, monkeypatch):
    other = tmp_path / "other"
    write(other, "x")
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert environment.checkout().revision == git(project, "rev-parse", "HEAD")


def test_looking_writes_nothing(project):
    os.utime(project / "Snakefile")
    index = (project / ".git/index").stat().st_mtime_ns
    environment.checkout()
    assert (project / ".git/index").stat().st_mtime_ns == index


def test_a_repository_that_git_refuses_is_no_missing_one(project):
    (project / ".git/HEAD").write_text("damaged")
    assert environment.checkout().revision.startswith("unknown (git refused: not a git repository")


def test_a_table_keeps_what_no_commit_holds_and_restores_it(project, tmp_path, monkeypatch):
    write(project, METHOD, "a = 'ü'\n")
    write(project, SCALE, "seeds: [0]\n")
    write(project, "config/another.yaml")
    (project / "Snakefile").unlink()
    kept = sources.kept(MadeFrom(scale_files=(SCALE, "config/small.yaml"), entries=("methods.mine",)))
    assert kept["git_revision"].endswith("-modified")
    assert kept["files"] == {METHOD: "a = 'ü'\n", SCALE: "seeds: [0]\n", "Snakefile": None}
    table = str(tmp_path / "fig7.parquet")
    parquet.write(table, pa.table({"x": [1]}), {"sources": kept})
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(project), str(fresh))
    monkeypatch.chdir(fresh)
    assert sources.differing(kept["files"]) == sorted(["Snakefile", SCALE, METHOD])
    with pytest.raises(UserError, match=r"^Snakefile: is here with another content; nothing was written; --force"):
        restore.restore(table, force=False)
    assert not (fresh / SCALE).exists()
    assert "3 of 3 files written" in restore.restore(table, force=True)
    assert (fresh / METHOD).read_bytes() == (project / METHOD).read_bytes()
    assert (fresh / SCALE).read_text() == "seeds: [0]\n" and not (fresh / "Snakefile").exists()
    assert restore.restore(table, force=False).endswith("0 of 3 files written: all were here")


def test_without_a_commit_scale_and_entries_are_kept(project):
    (project / ".git").rename(project / "git")
    write(project, METHOD)
    write(project, SCALE)
    kept = sources.kept(MadeFrom(scale_files=(SCALE,), entries=("methods.mine",)))
    assert kept == {"git_revision": "unknown (no checkout)", "files": {SCALE: "text\n", METHOD: "text\n"}}


@pytest.mark.parametrize("file", ["../x.py", "/etc/x", "workflow/../../x", "results/x", "configuration"])
def test_nothing_outside_code_and_scales_is_restored(tmp_path, file):
    with pytest.raises(UserError, match="is no file of the project's code or scales"):
        sources.restore({SCALE: "a", file: "b"}, tmp_path, force=True)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_keeps_nothing_says_so(tmp_path):
    table = str(tmp_path / "fig7.parquet")
    parquet.write(table, pa.table({"x": [1]}), {"sources": {"git_revision": "a", "files": {}}})
    with pytest.raises(UserError, match="keeps no file"):
        restore.restore(table, force=False)


def test_the_files_of_a_scale_are_those_that_it_inherits_from_too(tmp_path):
    (tmp_path / "a.yaml").write_text("inherits: b\n")
    (tmp_path / "b.yaml").write_text("inherits: c\n")
    (tmp_path / "c.yaml").write_text("label: x\n")
    assert [path.name for path in scale_files.files_of(tmp_path / "a.yaml")] == ["a.yaml", "b.yaml", "c.yaml"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to somebody else")
def test_a_checkout_of_another_owner_is_read(project):
    for path in (project, project / ".git"):
        os.chown(path, 12345, -1)
    assert environment.checkout().revision == git(project, "-c", f"safe.directory={project}", "rev-parse", "HEAD")
