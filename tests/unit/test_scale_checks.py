"""What is known before anything runs is said then: sizes, bounds, schedules, and what a figure's kind cannot draw."""

import copy
import re
from typing import Any

import generated
import pytest
import torch
from edited_scales import SMALL, accepted, changed, refused

from adaptive_smoothing.core import registry

DIGITS = SMALL["setups"]["digits"]
IMAGES = {"name": "image_folder", "options": {"folder": "own", "height": 8, "width": 8, "mode": "grey"}}
CIFAR = {"name": "cifar10", "options": {"train_size": 1000}, "validation": 0}


def setup(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DIGITS), **changes}


def method(name: str, **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DIGITS["methods"][name]), **changes}


def step(*milestones: Any) -> dict[str, Any]:
    return {"kind": "step", "milestones": list(milestones), "factor": 0.1}


GRID = {"setup": "digits", "noises": ["pair20"], "methods": {"ivon": {}, "ls": {"alpha": [0, 0.1]}}}


def runs(**changes: Any) -> list[dict[str, Any]]:
    return [{**GRID, **changes}]


FIG3 = {"title": "x", "label_noise_mc_samples": 2, "options": {"alpha": 0.1}}
FIG4 = {"title": "x", "label_noise_mc_samples": 2, "options": {"classes": [0]}}
FIG7 = {"title": "x", "runs": runs(noises=["kappa0.1", "kappa0.2"])}


def kappa(*options: tuple[float, float]) -> list[Any]:
    """Return edits that give the first noises κ and β."""
    return [
        (f"noises/kappa0.{n}", {"kind": "class_dependent", "kappa": k, "beta": b})
        for n, (k, b) in enumerate(options, 1)
    ]


@pytest.mark.parametrize(
    ("edits", "sentence"),
    [
        # kinds that need runs, and kinds that draw none
        (
            [("figures/fig5/runs", None)],
            ", figures.fig5: key 'runs' is missing; a figure of kind 'accuracy_over_grid' is",
        ),
        ([("figures/fig7/runs", [])], ", figures.fig7: key 'runs' is missing; a figure of kind 'fig7' is drawn from"),
        ([("figures/fig3/runs", [])], ", figures.fig3: key 'runs' is missing"),
        ([("figures/fig4/runs", [])], ", figures.fig4: key 'runs' is missing"),
        ([("extras/extra_cost/runs", None)], ", extras.extra_cost: key 'runs' is missing"),
        ([("figures/fig2/runs", runs())], ", figures.fig2.runs: a figure of kind 'fig2' draws no runs; remove the key"),
        (
            [("extras/extra_moons/runs", runs())],
            ", extras.extra_moons.runs: a figure of kind 'extra_moons' draws no runs",
        ),
        # Fig. 7
        (
            [("figures/fig7/runs/0/noises", ["pair20"])],
            ", figures.fig7.runs[0].noises: noise 'pair20' has no κ, over wh",
        ),
        (
            [("figures/fig7/runs/0/noises", ["kappa0.1", "clean"])],
            ", figures.fig7.runs[0].noises: noise 'clean' has no κ",
        ),
        ([*kappa((0.1, 0.05), (0.2, 0.04))], ", figures.fig7.runs: kind 'fig7' draws one β, not 0.04, 0.05"),
        (
            [("figures/fig7/runs", runs(noises=["kappa0.1"]) + runs(setup="digits_weak", noises=["kappa0.1"]))],
            ", figures.fig7.runs: kind 'fig7' draws one dataset, not digits, digits_weak",
        ),
        (
            [("figures/fig7", {**FIG7, "options": {"published": {"ls": [1, 2, 3]}}})],
            ", figures.fig7.options.published.ls: 3 accuracies, but the runs have 2 levels κ: 0.1, 0.2",
        ),
        (
            [("figures/fig7", {**FIG7, "options": {"published": {"sam": [1, 2]}}})],
            ", figures.fig7.options.published.sam: no run is of 'sam'",
        ),
        # Fig. 6 and 10
        (
            [("figures/fig6/runs/0/methods/ivon", {})],
            ", figures.fig6.runs: no run has hessian 'fixed'; kind 'fig6' needs the grid hessian: [learned, fixed]",
        ),
        (
            [("figures/fig6/runs/0/methods/ls", {"alpha": [0.1]})],
            ", figures.fig6.runs[0].methods: 'ls' has no 'hessian', over which kind 'fig6' draws its runs",
        ),
        (
            [("figures/fig10/runs/0/methods/ivon", {})],
            ", figures.fig10.runs: kind 'fig10' needs a grid of at least two values of 'hess_init'",
        ),
        (
            [("figures/fig10/runs/0/methods", {"sam": {"rho": [0.1]}})],
            ", figures.fig10.runs[0].methods: 'sam' has no 'h",
        ),
        # Fig. 3 and 4
        (
            [("figures/fig3/label_noise_mc_samples", None)],
            ", figures.fig3: key 'label_noise_mc_samples' is missing; a f",
        ),
        (
            [("figures/fig4/label_noise_mc_samples", None)],
            ", figures.fig4: key 'label_noise_mc_samples' is missing; a f",
        ),
        (
            [("figures/fig3/runs/0/methods", {"ls": {"alpha": [0.1]}})],
            ", figures.fig3.runs[0].methods: kind 'fig3' draws the label noise of a posterior, and 'ls' has none",
        ),
        (
            [("figures/fig3/runs/0/noises", ["clean", "pair20"])],
            ", figures.fig3.runs: kind 'fig3' shows the examples of one kind of run, not of 2",
        ),
        (
            [("figures/fig4/runs/1/methods", {"ivon": {}})],
            ", figures.fig4.runs: kind 'fig4' compares ivon, ols, ls; dataset 'digit_pairs' has runs of 'ivon' alone",
        ),
        (
            [("figures/fig4/runs/0/methods/sam", {"rho": [0.1]})],
            ", figures.fig4.runs[0].methods: kind 'fig4' draws ivon, ols, ls, not 'sam'",
        ),
        (
            [("figures/fig4/runs/0/noises", ["clean", "pair20"])],
            ", figures.fig4.runs[0].noises: kind 'fig4' draws one kind of run of 'ivon' on dataset 'digits', not two",
        ),
        (
            [("figures/fig4/options/classes", [0, 10])],
            ", figures.fig4.options.classes: [0, 10] is not allowed; dataset 'digits' has the classes 0 to 9",
        ),
        (
            [("figures/fig4/options/classes", [])],
            ", figures.fig4.options.classes: [] is not allowed; it must not be empty",
        ),
        (
            [("figures/fig2/options/variances", [])],
            ", figures.fig2.options.variances: [] is not allowed; it must not be",
        ),
        # runs that a figure would take for seeds of one
        (
            [("setups/longer", setup(epochs=41)), ("figures/fig5/runs", runs() + runs(setup="longer"))],
            ", figures.fig5.runs[1].setup: 'digits' and 'longer' have the same dataset and model; a figure would take",
        ),
        (
            [("noises/twin", {"kind": "pair", "rate": 0.2}), ("figures/fig5/runs/0/noises", ["pair20", "twin"])],
            ", figures.fig5.runs[0].noises: 'pair20' and 'twin' are the same corruption; a figure would take",
        ),
    ],
)
def test_a_figure_that_its_kind_cannot_draw_is_refused(tmp_path, edits, sentence):
    assert refused(tmp_path, changed(*edits)).startswith(f"mine.yaml{sentence}")


@pytest.mark.parametrize(
    ("edits", "sentence"),
    [
        # sizes
        (
            [("datasets/digits/options/test_size", 5000)],
            ", datasets.digits.options.test_size: 5000 is not allowed; for d",
        ),
        (
            [("datasets/digits/options/test_size", 9)],
            ", datasets.digits.options.test_size: 9 is not allowed; for digits it must be 10 to 1787",
        ),
        (
            [("datasets/digits_weak/options/test_size", 1790)],
            ", datasets.digits_weak.options.test_size: 1790 is not all",
        ),
        (
            [("datasets/digit_pairs/options/test_size", 1790)],
            ", datasets.digit_pairs.options.test_size: 1790 is not all",
        ),
        (
            [("datasets/digits/validation", 800)],
            ", datasets.digits.validation: 800 is not allowed; the dataset has 800 training images, so it must be at m",
        ),
        (
            [("datasets/digit_pairs/validation", 2000)],
            ", datasets.digit_pairs.validation: 2000 is not allowed; the datas",
        ),
        (
            [("datasets/cifar", {**CIFAR, "options": {"train_size": 50001}})],
            ", datasets.cifar.options.train_size: 50001 is not allowed; for cifar10 it must be 1 to 50000",
        ),
        (
            [("datasets/cifar", {**CIFAR, "options": {"test_size": 10001}})],
            ", datasets.cifar.options.test_size: 10001 is",
        ),
        (
            [("datasets/cifar", {**CIFAR, "options": {"pixels": 33}})],
            ", datasets.cifar.options.pixels: 33 is not allowed",
        ),
        (
            [("datasets/cifar", {**CIFAR, "validation": 1000})],
            ", datasets.cifar.validation: 1000 is not allowed; the da",
        ),
        # images that a model cannot take
        (
            [("setups/digits/model", {"name": "resnet50", "options": {"weights": "random"}})],
            ", setups.digits.model: resnet50 needs images of 3 channels, dataset 'digits' has 1",
        ),
        (
            [("datasets/cifar", {**CIFAR, "options": {"pixels": 3}}), ("setups/cifar", setup(dataset="cifar"))],
            ", setups.cifar.model: small_cnn needs images of at least 4 × 4 pixels, dataset 'cifar' has 3 × 3 pixels",
        ),
        # a last batch of one image under batch normalisation: 600 training images
        (
            [("setups/digits/model", {"name": "resnet34"}), ("setups/digits/batch_size", 599)],
            ", setups.digits.batch_size: 599 is not allowed; 600 training images leave a last batch of one image, "
            "which the batch normalisation of resnet34 cannot take at 8 × 8 pixels; choose another batch_size",
        ),
        (
            [("setups/digits/model", {"name": "resnet34"}), ("setups/digits/batch_size", 1)],
            ", setups.digits.batch_size: 1 is not allowed",
        ),
        (
            [
                ("datasets/cifar", {**CIFAR, "options": {"train_size": 901, "pixels": 7}}),
                ("setups/cifar", setup(dataset="cifar", batch_size=100)),
            ],
            ", setups.cifar.batch_size: 100 is not allowed; 901 training images",
        ),
        # bounds
        ([("seeds", [2**32])], ", seeds[0]: 4294967296 is not allowed; it must be less than or equal to 4294967295"),
        ([("seeds", [-1])], ", seeds[0]: -1 is not allowed; it must be greater than or equal to 0"),
        ([("data_seed", 2**63)], ", data_seed: 9223372036854775808 is not allowed"),
        ([("noise_seed", 2**32)], ", noise_seed: 4294967296 is not allowed"),
        ([("figures/fig5/runs/0/seeds", [2**40])], ", figures.fig5.runs[0].seeds[0]: 1099511627776 is not allowed"),
        ([("extras/extra_moons/options/seed", 2**32)], ", extras.extra_moons.options.seed: 4294967296 is not allowed"),
        (
            [("setups/digits/methods/ivon/beta1", 1)],
            ", setups.digits.methods.ivon.beta1: 1 is not allowed; it must be l",
        ),
        (
            [("setups/digits/methods/ivon/beta2", 1.0)],
            ", setups.digits.methods.ivon.beta2: 1.0 is not allowed; it must",
        ),
        (
            [("setups/digits/methods/ivon/hess_init", 0)],
            ", setups.digits.methods.ivon.hess_init: 0 is not allowed; it ",
        ),
        (
            [("setups/digits/methods/ls/momentum", 1)],
            ", setups.digits.methods.ls.momentum: 1 is not allowed; it must be",
        ),
        ([("setups/digits/batch_size", 2**40)], ", setups.digits.batch_size: 1099511627776 is not allowed"),
        # schedules
        (
            [("setups/digits/methods/ls", method("ls", schedule=step(20, 41)))],
            ", setups.digits.methods.ls.schedule.milestones: 41 lies beyond the setup's 40 epochs; shorten",
        ),
        (
            [("setups/digits_weak/noise_overrides", {"clean": {"ols": {"schedule": step(50)}}})],
            ", setups.digits_weak.noise_overrides.clean.ols.schedule.milestones: 50 lies beyond",
        ),
        (
            [("setups/digits/methods/ivon/schedule/warmup_epochs", 100)],
            ", setups.digits.methods.ivon.schedule.warmup_epochs: 100 lies beyond the setup's 40 epochs",
        ),
        (
            [("setups/digits/methods/ls", method("ls", schedule=step(20, 20)))],
            ", setups.digits.methods.ls.schedule.milestones: [20, 20] is not allowed; it holds 20 twice",
        ),
    ],
)
def test_a_size_or_bound_that_cannot_be_is_refused(tmp_path, edits, sentence):
    assert refused(tmp_path, changed(*edits)).startswith(f"mine.yaml{sentence}")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("seeds", [0, 1, 0], ", seeds: [0, 1, 0] is not allowed; it holds 0 twice"),
        ("figures/fig5/runs/0/seeds", [1, 1], ", figures.fig5.runs[0].seeds: [1, 1] is not allowed; it holds 1 twice"),
        (
            "figures/fig5/runs/0/noises",
            ["pair20", "pair20"],
            ', figures.fig5.runs[0].noises: ["pair20", "pair20"] is n',
        ),
        (
            "figures/fig5/runs/0/methods/ls/alpha",
            [0.1, 0.10],
            ", figures.fig5.runs[0].methods.ls.alpha: [0.1, 0.1] is n",
        ),
        (
            "figures/fig5/runs/0/methods/ls/alpha",
            [0, 0.0],
            ", figures.fig5.runs[0].methods.ls.alpha: [0, 0.0] is not al",
        ),
        ("figures/fig2/options/variances", [1, 1], ", figures.fig2.options.variances: [1, 1] is not allowed; it holds"),
        (
            "setups/digits/augment",
            ["crop", "crop"],
            ', setups.digits.augment: ["crop", "crop"] is not allowed; it hold',
        ),
        (
            "figures/fig5/runs/0/methods/ls/alpha",
            [],
            ", figures.fig5.runs[0].methods.ls.alpha: [] is not allowed; it m",
        ),
        ("seeds", 0, ", seeds: 0 is not allowed; it must be a list"),
        (
            "setups/digits/methods/ls/lr",
            "0.03",
            ', setups.digits.methods.ls.lr: "0.03" is not allowed; it must be a nu',
        ),
        ("figures/fig5/runs/0/methods/ls/alpha", ["0.1"], ', figures.fig5.runs[0].methods.ls.alpha: "0.1" is not allo'),
        (
            "setups/digits/epochs",
            "40",
            ', setups.digits.epochs: "40" is not allowed; it must be a whole number; write i',
        ),
        ("setups/digits/epochs", 40.0, ", setups.digits.epochs: 40.0 is not allowed; it must be a whole number"),
        ("setups/digits/epochs", True, ", setups.digits.epochs: true is not allowed; it must be a whole number"),
        (
            "setups/digits/methods/ls/lr",
            True,
            ", setups.digits.methods.ls.lr: true is not allowed; it must be a number",
        ),
        (
            "setups/digits/performance",
            {"bf16": 1},
            ", setups.digits.performance.bf16: 1 is not allowed; it must be true",
        ),
        (
            "setups/digits/performance",
            {"bf16": "yes"},
            ', setups.digits.performance.bf16: "yes" is not allowed; it must',
        ),
        ("label", 2024, ", label: 2024 is not allowed; it must be a text; write it in quotes"),
        (
            "figures/fig5/runs/0/noises",
            [0.1],
            ", figures.fig5.runs[0].noises[0]: 0.1 is not allowed; it must be a text;",
        ),
        ("data_root", "", ', data_root: "" is not allowed; it must name a folder'),
        (
            "data_root",
            "$NO_SUCH_PLACE/data",
            ', data_root: "$NO_SUCH_PLACE/data" is not allowed; the variable NO_SUCH_P',
        ),
        ("datasets/digits/mirrors", ["${NO_SUCH_PLACE}"], ', datasets.digits.mirrors[0]: "${NO_SUCH_PLACE}" is not al'),
        (
            "setups/digits/model",
            {"name": "mnist_cnn", "options": {"channels": [1, 2, 3]}},
            ", setups.digits.model.options.channels: [1, 2, 3] is not allowed; it must hold at most 2 values",
        ),
        (
            "setups/digits/model",
            {"name": "mnist_cnn", "options": {"channels": [1]}},
            ", setups.digits.model.options.channels: [1] is not allowed; it must hold more values",
        ),
    ],
)
def test_what_is_written_as_another_thing_is_refused(tmp_path, path, value, sentence):
    found = refused(tmp_path, changed((path, value)))
    assert found.startswith(f"mine.yaml{sentence}")
    assert not re.search(r"Input should|valid|[Tt]uple|integer|string|boolean", found)


@pytest.mark.parametrize(
    "edits",
    [
        [("setups/digits/model", {"name": "resnet34"}), ("setups/digits/batch_size", 300)],  # two whole batches
        [("setups/digits/batch_size", 599)],  # small_cnn sees two pixels of eight
        [("setups/digits/methods/ls", method("ls", schedule=step(20, 40)))],  # a milestone at the end
        [("setups/digits/methods/ivon/schedule/warmup_epochs", 40)],
        [("seeds", [2**32 - 1])],
        [("datasets/own", {**IMAGES, "validation": 5000}), ("setups/own", setup(dataset="own", batch_size=1))],
        [
            ("setups/twin", setup(dataset="twin")),
            ("datasets/twin", SMALL["datasets"]["digits"]),
            ("figures/fig5/runs", runs() + runs(setup="twin")),
        ],
        [("figures/fig5/runs", runs(methods={"ivon": {}}) + runs(methods={"ls": {"alpha": [0.1]}}))],
        [("figures/fig5/runs/0/methods", {"ivon": {}})],  # a level line alone
    ],
)
def test_what_can_be_made_is_accepted(tmp_path, edits):
    accepted(tmp_path, changed(*edits))


def test_every_table_says_whether_it_is_drawn_from_runs():
    assert all(registry.check_of_runs("table", name) for name in registry.names("table"))


@pytest.mark.parametrize("name", registry.names("model"))
def test_a_models_file_is_true_about_the_images_that_it_takes(name):
    module = registry.load("model", name)
    options = generated.options("model", name)[0]
    channels = getattr(module, "CHANNELS", 2)
    smallest, one_pixel = getattr(module, "SMALLEST", 1), getattr(module, "ONE_PIXEL", 0)

    def runs_on(side: int, batch: int) -> bool:
        with torch.device("meta"), torch.no_grad():
            network = module.build(module.Options(**options), channels, (side, side), 10).train()
            try:
                network(torch.empty(batch, channels, side, side))
            except (RuntimeError, ValueError):
                return False
        return True

    assert runs_on(smallest, 2), f"{module.__file__}: states no SMALLEST, the least height and width, or one too small"
    assert smallest == 1 or not runs_on(smallest - 1, 2), f"{module.__file__}: SMALLEST is too large"
    assert runs_on(max(one_pixel + 1, smallest), 1), f"{module.__file__}: states no ONE_PIXEL, or one too small"
    assert one_pixel == 0 or not runs_on(one_pixel, 1), f"{module.__file__}: ONE_PIXEL is too large"
