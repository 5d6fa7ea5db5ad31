"""config/example.yaml: ten lines, cheap, and with what its comments say."""

from pathlib import Path

from adaptive_smoothing.pipeline import plan

CONFIG = Path(__file__).parents[2] / "config"


def test_the_example_adds_one_noise_to_one_figure_of_the_small_scale():
    example, small = plan.Plan("example", CONFIG), plan.Plan("small", CONFIG)
    assert len(example.file.read_text().splitlines()) <= 10
    assert list(example.figures) == ["fig5"] and not example.scale.extras
    assert example.scale.noises.keys() - small.scale.noises.keys() == {"pair40"}
    assert {run.noise for run in example.runs.values()} == {"symmetric20", "symmetric40", "pair20", "pair40"}
    assert example.sources().items() <= small.sources().items()  # it prepares nothing of its own


def test_the_example_is_as_cheap_as_it_says():
    runs = plan.Plan("example", CONFIG).runs.values()
    assert len(runs) == 20
    assert {run.spec.epochs for run in runs} == {5}
    assert all(
        "20 trainings" in path.read_text() for path in (CONFIG / "example.yaml", CONFIG.parent / "docs/scales.md")
    )
