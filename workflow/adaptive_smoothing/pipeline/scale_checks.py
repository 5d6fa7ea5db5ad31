"""Checks a scale as a whole: the names that its parts use of each other, options, sizes and hyper-parameters.

Every method block of every setup is checked, whether a figure uses it or not. A block may lack what the grids of all
figures that use it supply. A mistake is reported where it stands.
"""

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.specification import Entry
from adaptive_smoothing.pipeline import size_checks
from adaptive_smoothing.pipeline.figure_checks import FigureCheck
from adaptive_smoothing.pipeline.scales import NoiseEntry, Scale, Setup
from adaptive_smoothing.pipeline.stated_sizes import StatedSizes
from adaptive_smoothing.pipeline.validation import Content, Place, problems_of_options, validate_options

Sizes = dict[str, StatedSizes | None]  # dataset → its size, where its file states it


def check(scale: Scale, place: Place) -> None:
    """Raise UserError for the first mistake in a scale whose file is `place`."""
    if scale.data_variant is not None and scale.data_root is None:
        raise UserError(f"{place}: data_variant '{scale.data_variant}' needs data_root, the folder of those data")
    for name, dataset in scale.datasets.items():
        _check_entry("dataset", dataset, place.at("datasets", name))
    for name, noise in scale.noises.items():
        _check_noise(noise, place.at("noises", name))
    published = scale.data_variant is None
    sizes: Sizes = {
        name: size_checks.check_dataset(dataset, place.at("datasets", name)) if published else None
        for name, dataset in scale.datasets.items()
    }
    for name, setup in scale.setups.items():
        _check_setup(scale, setup, sizes, place.at("setups", name))
    for key, figures in (("figures", scale.figures), ("extras", scale.extras)):
        for name, figure in figures.items():
            FigureCheck(scale, place, (key, name)).check(figure)


def _check_entry(kind: str, entry: Entry, place: Place) -> None:
    registry.check(kind, entry.name, str(place.at("name")))
    validate_options(kind, entry.name, entry.options, place.at("options"))


def _check_noise(noise: NoiseEntry, place: Place) -> None:
    registry.check("noise", noise.kind, str(place.at("kind")))
    validate_options("noise", noise.kind, noise.options, place)


def _check_setup(scale: Scale, setup: Setup, sizes: Sizes, place: Place) -> None:
    if setup.dataset not in scale.datasets:
        raise unknown("dataset", setup.dataset, scale.datasets, str(place.at("dataset")))
    _check_entry("model", setup.model, place.at("model"))
    for method, values in setup.methods.items():
        registry.check("method", method, str(place.at("methods")))
        _check_block(method, values, setup.epochs, place.at("methods", method))
    for noise, methods in setup.noise_overrides.items():
        if noise not in scale.noises:
            raise unknown("noise", noise, scale.noises, str(place.at("noise_overrides")))
        for method, values in methods.items():
            where = place.at("noise_overrides", noise)
            if method not in setup.methods:
                raise unknown("method", method, setup.methods, str(where))
            _check_block(method, values, setup.epochs, where.at(method))
    if (size := sizes[setup.dataset]) is not None:
        size_checks.check_setup(setup, size, scale.datasets[setup.dataset].validation, place)


def _check_block(method: str, values: Content, epochs: int, place: Place) -> None:
    """Check that the hyper-parameters given are the method's and legal; others may be missing."""
    for problem in problems_of_options("method", method, values):
        if not problem.is_missing_key:
            raise problem.error(place)
    schedule = values.get("schedule", {})
    latest = {"milestones": max(schedule.get("milestones", ()), default=0), "warmup_epochs": 0}
    latest |= {key: schedule[key] for key in ("warmup_epochs",) if key in schedule}
    for key, epoch in latest.items():
        if epoch > epochs:
            raise UserError(
                f"{place.at('schedule', key)}: {epoch:g} lies beyond the setup's {epochs} epochs; shorten the schedule "
                "(in a scale that inherits, 'cut: {epochs: …}' does so)"
            )
