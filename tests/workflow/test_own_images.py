"""The user's own folder of images: a block of YAML is all it takes."""

import shutil

import image_folders

from adaptive_smoothing.core import parquet


def flowers(scale):
    options = {"folder": "own", "height": 8, "width": 12, "mode": "colour"}
    scale["datasets"]["own"] = {"name": "image_folder", "options": options, "validation": 0}
    scale["noises"]["wrong"] = {"kind": "symmetric", "rate": 0.3}
    scale["setups"]["own"] = {**scale["setups"]["digits"], "dataset": "own", "batch_size": 10}
    runs = [{"setup": "own", "noises": ["wrong"], "methods": {"ivon": {}, "ls": {"alpha": [0, 0.9]}}}]
    scale["figures"]["fig11"] = {"title": "Own images", "kind": "accuracy_over_grid", "runs": runs}


def test_own_images_are_trained_on_and_drawn(edited):
    image_folders.write_image_folder(edited.folder / "pictures")
    edited.change(flowers)
    edited.made("paper_figures/tiny/fig11.pdf", "--cores", "2", "--config", "data_root=pictures")
    frame, _ = parquet.read_frame(edited.folder / "results/tiny/figures/fig11.parquet")
    assert frame["run"].nunique() == 3 and set(frame["dataset"]) == {"own"}
    assert frame["test_accuracy"].between(0, 1).all()
    target = ("paper_figures/tiny/fig11.pdf", "--config", "data_root=pictures")
    image = edited.folder / "pictures/own/train/boot/0000.jpg"
    image.touch()
    assert edited.would_run(*target) == {}
    shutil.copy(image, image.with_name("9999.jpg"))
    assert edited.would_run(*target).keys() >= {"prepare_dataset", "corrupt_labels", "train", "collect", "draw"}
    shutil.rmtree(edited.folder / "pictures")
    assert edited.would_run(*target) == {}


def test_a_broken_folder_is_told_in_one_sentence(edited):
    image_folders.write_image_folder(edited.folder / "pictures", classes=("boot", "coat"))
    (edited.folder / "pictures/own/train/boot/0000.jpg").write_bytes(b"no image")
    edited.change(flowers)
    done = edited.snakemake("paper_figures/tiny/fig11.pdf", "--cores", "1", "--config", "data_root=pictures")
    assert done.returncode != 0
    expected = (
        f"error: dataset image_folder: {edited.folder}/pictures/own has 1 unreadable images (train/boot/0000.jpg:"
    )
    assert expected in done.stderr
