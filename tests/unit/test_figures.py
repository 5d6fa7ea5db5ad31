"""What figures say by themselves: number, data, cut axes, edges of grids, single seeds, names of one's own methods."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from adaptive_smoothing.core import registry
from adaptive_smoothing.figures import _extras, _panels, _style, accuracy_over_grid, fig3, fig4, fig7, fig10
from adaptive_smoothing.results import names, summary

SYMMETRIC = {"kind": "symmetric", "rate": 0.2}
SAID = {"figure": "fig5", "scale": "tiny", "label": "tiny scale", "title": "A title", "options": {}}
OWN = {"method_names": {"maxsup": "MaxSup"}}  # 'other' has no name of its own


def run(method: str, accuracy: float, seed: int, noise: str = "sym", **values: Any) -> dict[str, Any]:
    """Return the last row of a run's metrics."""
    row = {"run": f"{noise}/{method}{values}/{seed}", "dataset": "d", "model": "m", "noise": noise, "method": method}
    row |= {"seed": seed, "epoch": 10, "diverged": False, "test_accuracy": accuracy / 100, "test_nll": 1.0}
    row |= dict.fromkeys(("test_accuracy_mc", "test_nll_mc", "validation_accuracy", "posterior_std"), np.nan)
    return {**row, "noise_kind": "symmetric", "noise_rate": 0.2, **values}


def description(**changes: Any) -> dict[str, Any]:
    return {**SAID, "grids": {"ls": ["alpha"], "maxsup": ["beta"]}, "noises": {"sym": SYMMETRIC}, **changes}


def drawn(module: Any, frame: pd.DataFrame, said: dict[str, Any]) -> Figure:
    with _style.style_context():
        figure: Figure = module.draw(module.data(frame, said), said)
        figure.canvas.draw()
    return figure


def foot(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


@pytest.mark.parametrize(
    ("name", "title"), [("fig7", "Fig. 7: A title"), ("extra_cost", "A title"), ("mine", "A title")]
)
def test_the_papers_number_stands_in_the_picture(name, title):
    assert _style.numbered_title({**SAID, "figure": name}) == title


@pytest.mark.parametrize(
    ("datasets", "text"),
    [(["digits"], "tiny scale"), ([], "tiny scale, none of its data"), (None, "tiny scale")],
)
def test_a_figure_without_data_does_not_claim_the_scales(datasets, text):
    said = SAID if datasets is None else {**SAID, "datasets": datasets}
    with _style.style_context():
        figure, _ = _style.frame_figure({**said, "label": "tiny scale"}, 3, ["more"])
    assert foot(figure) == f"{text} · more"


def test_methods_of_ones_own_have_looks_and_names_of_their_own():
    methods = ["other", "ls", "maxsup", "ivon", "sam", "ols", "third"]
    looks = list(_style.method_looks(methods, OWN).values()) + list(_extras.OWN_LOOKS.values())
    assert [look.name for look in looks][:7] == ["IVON", "LS", "SAM", "OLS", "MaxSup", "other", "third"]
    for features in ("colour", "marker"):
        assert len({getattr(look, features) for look in looks}) == len(looks)
    assert len({str(look.line) for look in looks}) == len(looks)


def test_a_methods_own_file_says_how_it_is_written(monkeypatch):
    monkeypatch.setattr(registry, "names", lambda kind: ("ls", "maxsup", "other"))
    declared = {"maxsup": "MaxSup"}
    monkeypatch.setattr(registry, "constant", lambda kind, name, constant: declared.get(name))
    assert names.declared_names(["ls", "maxsup", "other", "gone"]) == declared
    assert [names.method_name(name) for name in ("maxsup", "other", "gone", "ls")] == ["MaxSup", "other", "gone", "LS"]
    assert names.method_name("maxsup", {"method_names": {"maxsup": "as it was"}}) == "as it was"


@pytest.mark.parametrize(
    ("values", "value", "expected"),
    [
        ([0, 0.3, 0.9], 0.9, True),
        ([0, 0.3, 0.9], 0.3, False),
        ([0, 0.3, 0.9], 0, False),  # nothing lies beyond
        ([0.3, 0.9], 0.3, True),
        ([0.3], 0.3, False),
        (["learned", "fixed"], "fixed", False),
    ],
)
def test_the_edge_of_a_grid(values, value, expected):
    assert summary.at_edge(pd.Series(values), value) is expected


def frame_of_two_methods() -> pd.DataFrame:
    """Return LS (best in the middle) and MaxSup (best at the upper end, where a seed collapsed)."""
    levels = {("ls", "alpha"): {0.3: 80, 0.6: 82, 0.9: 81}, ("maxsup", "beta"): {0.1: 83, 0.2: 84}}
    rows = [
        run(method, level + seed, seed, **{axis: value})
        for (method, axis), grid in levels.items()
        for value, level in grid.items()
        for seed in (0, 1)
    ]
    rows.append(run("maxsup", 60, 2, beta=0.1))
    return pd.DataFrame([*rows, run("other", 85, 0), run("other", 85.5, 1)])


def test_best_values_at_the_edge_are_ringed_and_named():
    said = description(**OWN)
    data = accuracy_over_grid.data(frame_of_two_methods(), said)
    marked = data[data["best_at_edge"]]
    assert list(zip(marked["method"], marked["value"], strict=True)) == [("maxsup", 0.2)]
    figure = drawn(accuracy_over_grid, frame_of_two_methods(), said)
    assert "a better one may lie beyond: MaxSup β = 0.2 in 1 of 1 rows" in foot(figure)
    middle = frame_of_two_methods()
    middle = middle[middle["method"] != "maxsup"]
    assert "ring" not in foot(drawn(accuracy_over_grid, middle, said))


def test_single_seeds_are_drawn_where_they_spread():
    figure = drawn(accuracy_over_grid, frame_of_two_methods(), description(**OWN))
    assert _panels.SEEDS_TEXT in foot(figure)
    lines = [line.get_ydata() for axes in figure.axes for line in axes.lines]
    assert [60.0, 83.0, 84.0] in [sorted(np.round(np.asarray(line, dtype=float), 6)) for line in lines]
    close = frame_of_two_methods()
    close = close[close["seed"] != 2]
    assert _panels.SEEDS_TEXT not in foot(drawn(accuracy_over_grid, close, description(**OWN)))


@pytest.mark.parametrize(("accuracies", "cut"), [([80, 90], True), ([15, 90], False)])
def test_an_axis_begins_at_zero_or_is_marked(accuracies, cut):
    rows = [
        run("ls", level, seed, alpha=value)
        for value, level in zip((0.3, 0.9), accuracies, strict=True)
        for seed in (0, 1)
    ]
    figure = drawn(accuracy_over_grid, pd.DataFrame(rows), description())
    bottom, _ = figure.axes[0].get_ylim()
    assert (bottom > 0) == cut == (_panels.CUT_TEXT in foot(figure))


def test_natural_noise_is_called_after_its_labels():
    frame = pd.DataFrame([run("ls", 80, 0, noise="weak_annotator", alpha=value) for value in (0.3, 0.9)])
    said = description(noises={"weak_annotator": {"kind": "natural"}})
    assert drawn(accuracy_over_grid, frame, said).axes[0].get_ylabel().startswith("labels: weak annotator\n")


def test_fig_7_marks_the_edge_beside_the_chosen_value():
    frame = frame_of_two_methods().assign(noise_kind="class_dependent", noise_kappa=0.1, noise_beta=0.05)
    said = description(figure="fig7", options={"published": {}}, **OWN)
    figure = drawn(fig7, frame, said)
    (text,) = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert text.split("\n") == ["0.1", "LS: α = 0.6", "MaxSup: β = 0.2*"]
    assert "*: at the edge of its grid" in foot(figure)


@pytest.mark.parametrize(
    ("exact", "linearised", "words"),
    [
        ([0.3, 0.4], [0.003, 0.004], "its median is 100 times smaller than the exact one's (said above a factor of 3)"),
        ([0.003, 0.004], [0.3, 0.4], "its median is 100 times larger"),
        ([0.3, 0.4], [0.15, 0.2], None),
        ([0.0, 0.0], [0.15, 0.2], None),
    ],
)
def test_fig_3_says_where_the_linearisation_fails(exact, linearised, words):
    text = fig3.disagreement(pd.DataFrame({"magnitude_exact": exact, "magnitude_linearised": linearised}))
    assert text == "" if words is None else words in text


def examples(names: list[str] | None) -> Figure:
    size = 25
    values = np.linspace(0.1, 0.5, size)
    pixels = [np.full(4, 100, dtype=np.uint8) if abs(row - size // 2) > 2 else None for row in range(size)]
    frame = pd.DataFrame({"run": "a/seed0", "index": range(size), "label": [0, 1] * 12 + [0]})
    frame = frame.assign(magnitude_exact=values, magnitude_linearised=values, pixels=pixels)
    said = {**SAID, "figure": "fig3", "options": {"alpha": 0.1}, "image_shape": [1, 2, 2]}
    return drawn(fig3, frame, said if names is None else {**said, "class_names": names})


def test_fig_3_says_by_what_it_orders_and_names_the_classes():
    def labels(figure):
        return {axes.get_xlabel() for axes in figure.axes if axes.images}

    plain, named = examples(None), examples(["sneaker", "a shirt with sleeves"])
    assert "images in the order of the magnitude linearised (Eq. 20)" in foot(plain)
    assert labels(plain) == {"0", "1"} and labels(named) == {"sneaker", "a shirt…"}


def vectors(classes: int) -> pd.DataFrame:
    """Return IVON's and LS's vectors of label 3: IVON's fall from class to class, LS's are the same."""
    ivon = 0.5 ** np.arange(1, classes + 1)
    parts = [("IVON", ivon / ivon.sum()), ("LS, α = 0.1", np.full(classes, 1 / classes))]
    frames = [pd.DataFrame({"series": name, "other": range(classes), "value": values}) for name, values in parts]
    return pd.concat(frames, ignore_index=True).assign(dataset="d", label=3, n=1)


def test_fig_4_draws_of_many_classes_the_most_probable_ones():
    assert fig4.most_probable(vectors(10)) == list(range(10))
    assert fig4.most_probable(vectors(100)) == list(range(fig4.SHOWN))
    said = {**SAID, "figure": "fig4", "options": {"classes": (3,)}}
    with _style.style_context():
        figure = fig4.draw(vectors(100), said)
        few = fig4.draw(vectors(10), said)
    assert figure.axes[0].get_xlabel() == "12 of 100 classes" and few.axes[0].get_xlabel() == "class"
    assert "bars begin at 10⁻⁴" in foot(figure) and figure.axes[0].get_ylim()[0] == pytest.approx(1e-4)
    assert "bars begin at 10⁻⁴" in foot(few) and "classes the 12" not in foot(few)


@pytest.mark.parametrize(("difference", "count"), [(1.01, 1), (1.2, 2)])
def test_fig_10_draws_one_line_where_lines_would_lie_on_each_other(difference, count):
    rows = []
    for noise, factor in (("sym", 1.0), ("pair", difference)):
        for h0 in (0.1, 1.0):
            for seed in (0, 1):
                rows.append({**run("ivon", 80, seed, noise=noise, hess_init=h0), "posterior_std": 0.1 * factor / h0})
    said = description(
        figure="fig10", grids={"ivon": ["hess_init"]}, noises={"sym": SYMMETRIC, "pair": {"kind": "pair", "rate": 0.2}}
    )
    lower = drawn(fig10, pd.DataFrame(rows), said).axes[1]
    assert len([line for line in lower.lines if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"]) == count
    assert [text.get_text() for text in lower.texts] == (
        ["one line for all 2 noises: they differ by at most 1 %"] if count == 1 else []
    )
