"""What a user may get wrong at the command line: one sentence, exit status not 0, nothing left behind."""

import json
import os
import subprocess
import sys

import pytest

from adaptive_smoothing.pipeline import plan


def sentence(done):
    """Return the line of an ended Snakemake that tells the user what is wrong."""
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("paper_figures/tiny/fig11.pdf", "error: config/tiny.yaml: unknown figure 'fig11' (did you mean 'fig10'?)"),
        ("paper_figures/fig1.pdf", "error: config/paper.yaml: unknown figure 'fig1' (did you mean 'fig10'?)"),
        ("paper_figures/tinny/fig5.pdf", "error: config: unknown scale 'tinny' (did you mean 'tiny'?)"),
        (
            "results/tiny/runs/digits-small_cnn/pair20/ls-alpha0.4/seed0/metrics.parquet",
            "error: config/tiny.yaml: unknown run 'digits-small_cnn/pair20/ls-alpha0.4/seed0'",
        ),
        ("data/nothing-seed0/meta.json", "error: config: unknown dataset folder 'nothing-seed0'"),
    ],
)
def test_a_target_that_nobody_defines(project, target, expected):
    assert sentence(project.snakemake("--dry-run", target)).startswith(expected)


def test_the_claims_of_a_scale_that_nobody_defines(project):
    done = project.snakemake("--dry-run", "claims", "--config", "scale=tinny")
    assert sentence(done).startswith("error: config: unknown scale 'tinny' (did you mean 'tiny'?)")
    assert project.would_run("claims", "--config", "scale=tiny")["judge_claims"] == 1


def test_the_extras_of_a_scale_that_has_none(project):
    done = project.snakemake("--dry-run", "extras", "--config", "scale=tuning")
    assert sentence(done).startswith("error: config/tuning.yaml: has no extras")


def test_a_broken_scale_stops_its_own_figures_and_no_others(project):
    bad = project.folder / "config/bad.yaml"
    unused = json.loads((project.folder / "config/tiny.yaml").read_text())
    unused["setups"]["digits_weak"]["methods"]["ols"]["alhpa"] = 0.5  # no figure trains OLS on these digits
    block = "setups.digits_weak.methods.ols"
    try:
        for text, expected in {
            json.dumps(
                unused
            ): f"error: config/bad.yaml, {block}: unknown key 'alhpa' (did you mean 'alpha'?); legal: ",
            "": "error: config/bad.yaml: holds nothing",
            "a: [": "error: config/bad.yaml: is not YAML",
            "figurs: {}": "error: config/bad.yaml: unknown key 'figurs' (did you mean 'figures'?)",
        }.items():
            bad.write_text(text)
            assert sentence(project.snakemake("--dry-run", "bad")).startswith(expected)
            assert not (project.folder / ".snakemake/locks").exists() or not list(
                (project.folder / ".snakemake/locks").iterdir()
            )
        assert project.would_run("paper_figures/tiny/fig2.pdf") == {"collect": 1, "draw": 1}
    finally:
        bad.unlink()


def test_planning_works_where_torch_pandas_and_pyarrow_cannot_be_imported(project, tmp_path):
    for package in ("torch", "pandas", "pyarrow", "matplotlib", "sklearn"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('planning must not import this')\n")
    path = f"{tmp_path}:{project.folder / 'workflow'}"
    for target in ("tiny", "paper_figures/fig7.pdf"):
        text = project.made("--dry-run", target, PYTHONPATH=path)
        assert "train" in text


def test_the_paper_is_planned_whole_and_figure_by_figure(project):
    everything = project.would_run()
    assert everything["draw_paper"] == 9 + 4  # extras
    assert everything["train"] + everything["train_keeping_posterior"] == 522
    assert project.would_run("paper_figures/fig7.pdf") == {
        "prepare_dataset": 1,
        "corrupt_labels": 5,
        "train": 195,
        "collect": 1,
        "draw_paper": 1,
    }


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(project):
    """A limit on the size of files (here 40 KiB) refuses the arrays in the midst of writing, as a full disk does."""
    command = f"ulimit -f 40; exec {sys.executable} -m snakemake data/digits-seed0-test_size997/meta.json --cores 1"
    env = {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}
    done = subprocess.run(["bash", "-c", command], cwd=project.folder, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert "error: cannot write data/digits-seed0-test_size997/train_images.npy: " in done.stderr
    assert "nothing was left in its place" in done.stderr
    assert not list(project.folder.glob("data/digits-seed0-test_size997/*"))


def test_clothing1m_that_is_not_there_says_what_is_missing_where(project):
    (folder,) = [folder for folder in plan.Plan("paper", project.folder / "config").sources() if "clothing" in folder]
    done = project.snakemake(f"data/{folder}/meta.json", "--cores", "1", "--config", "data_root=shared")
    assert done.returncode != 0
    where = project.folder / "shared/clothing1m"
    assert f"error: dataset clothing1m: {where} lacks noisy_train_key_list.txt, clean_test_key_list.txt" in done.stderr
    assert "never downloaded: ask its authors" in done.stderr
    assert not (project.folder / f"data/{folder}/meta.json").exists()


def test_a_scale_that_is_called_as_a_rule_stops_no_other(project):
    colliding = project.folder / "config/train.yaml"
    colliding.write_text("a: [")
    try:
        done = project.snakemake("--dry-run", "results/tiny/figures/fig2.parquet")
    finally:
        colliding.unlink()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: config/train.yaml: a scale cannot be called 'train', as a rule is;") == 1


def test_a_folder_without_scales_is_named(project, tmp_path):
    done = project.snakemake("--directory", str(tmp_path), "--dry-run", "tiny")
    project_folder = project.folder.resolve()
    assert sentence(done) == (
        f"error: there is no folder 'config' in {tmp_path}; start Snakemake in the project's, {project_folder}"
    )
