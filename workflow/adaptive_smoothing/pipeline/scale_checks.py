"""Checks a scale as a whole: the names that its parts use of each other, options, hyper-parameters and grids.

Every method block of every setup is checked, whether a figure uses it or not. A block may lack what the grids of all
figures that use it supply. A mistake is reported where it stands.
"""

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.specification import Entry
from adaptive_smoothing.data.corruption import transition_matrix
from adaptive_smoothing.pipeline.grids import Point, points
from adaptive_smoothing.pipeline.scales import Figure, RunGrid, Scale, Setup
from adaptive_smoothing.pipeline.validation import Content, Place, problems_of_options, validate_options


def check(scale: Scale, place: Place) -> None:
    """Raise UserError for the first mistake in a scale whose file is `place`."""
    if scale.data_variant is not None and scale.data_root is None:
        raise UserError(f"{place}: data_variant '{scale.data_variant}' needs data_root, the folder of those data")
    for name, dataset in scale.datasets.items():
        _check_entry("dataset", dataset, place.at("datasets", name))
    for name, noise in scale.noises.items():
        validate_options("noise", noise.kind, noise.options, place.at("noises", name))
    for name, setup in scale.setups.items():
        _check_setup(scale, setup, place.at("setups", name))
    for key, figures in (("figures", scale.figures), ("extras", scale.extras)):
        for name, figure in figures.items():
            _check_figures_name(key, name, place.at(key))
            _check_kind(name, figure, place.at(key, name))
            validate_options("figure", figure.kind_of(name), figure.options, place.at(key, name, "options"))
            _FigureCheck(scale, place, (key, name)).check(figure)


def _check_entry(kind: str, entry: Entry, place: Place) -> None:
    registry.check(kind, entry.name, str(place.at("name")))
    validate_options(kind, entry.name, entry.options, place.at("options"))


def _check_setup(scale: Scale, setup: Setup, place: Place) -> None:
    if setup.dataset not in scale.datasets:
        raise unknown("dataset", setup.dataset, scale.datasets, str(place.at("dataset")))
    _check_entry("model", setup.model, place.at("model"))
    for method, values in setup.methods.items():
        registry.check("method", method, str(place.at("methods")))
        _check_hyperparameters(method, values, place.at("methods", method))
    for noise, methods in setup.noise_overrides.items():
        if noise not in scale.noises:
            raise unknown("noise", noise, scale.noises, str(place.at("noise_overrides")))
        for method, values in methods.items():
            where = place.at("noise_overrides", noise)
            if method not in setup.methods:
                raise unknown("method", method, setup.methods, str(where))
            _check_hyperparameters(method, values, where.at(method))


def _check_hyperparameters(method: str, values: Content, place: Place) -> None:
    """Check that the hyper-parameters given are the method's and legal; others may be missing."""
    for problem in problems_of_options("method", method, values):
        if not problem.is_missing_key:
            raise problem.error(place)


def _check_figures_name(key: str, name: str, place: Place) -> None:
    """Check that a figure has a name that may stand under its key, `figures` or `extras`."""
    if name.startswith(paths.EXTRA) != (key == "extras"):
        other = "figures" if key == "extras" else "extras"
        raise UserError(
            f"{place}: '{name}' belongs under '{other}'; names of extras begin with '{paths.EXTRA}', and only those"
        )


def _check_kind(name: str, figure: Figure, place: Place) -> None:
    """Check that a registered figure draws this one: that of its `kind`, or of its own name."""
    kinds = registry.names("figure")
    if figure.kind_of(name) not in kinds:
        raise unknown("figure kind", figure.kind_of(name), kinds, str(place.at("kind") if figure.kind else place))


class _FigureCheck:
    """Checks the grids of one figure."""

    def __init__(self, scale: Scale, place: Place, keys: tuple[str, str]) -> None:
        """Take the scale, its file, and the keys that lead to the figure: ('figures', 'fig5')."""
        self.scale, self.place, self.keys = scale, place, keys

    def check(self, figure: Figure) -> None:
        """Raise UserError for the first mistake in the figure's grids."""
        for index, grid in enumerate(figure.runs):
            where = self.place.at(*self.keys, "runs", index)
            if grid.setup not in self.scale.setups:
                raise unknown("setup", grid.setup, self.scale.setups, str(where.at("setup")))
            setup = self.scale.setups[grid.setup]
            for noise in grid.noises:
                self._check_noise(setup, noise, where.at("noises"))
            for method in grid.methods:
                if method not in setup.methods:
                    raise unknown("method", method, setup.methods, str(where.at("methods")))
            self._check_grid(grid, where)

    def _check_noise(self, setup: Setup, noise: str, place: Place) -> None:
        """Check a noise against the dataset's number of classes, where the dataset's file states it."""
        if noise not in self.scale.noises:
            raise unknown("noise", noise, self.scale.noises, str(place))
        classes = registry.constant("dataset", self.scale.datasets[setup.dataset].name, "CLASSES")
        if isinstance(classes, int):
            try:
                transition_matrix(self.scale.noises[noise].parameters(), classes)
            except UserError as error:
                raise UserError(f"{place}: noise '{noise}' on dataset '{setup.dataset}': {error}") from error

    def _check_grid(self, grid: RunGrid, place: Place) -> None:
        for method, axes in grid.methods.items():
            for axis, values in axes.items():
                for value in values:
                    _check_hyperparameters(method, {axis: value}, place.at("methods", method))
        for point in points(grid, self.scale.setups[grid.setup]):
            self._check_point(point, grid.setup, place)

    def _check_point(self, point: Point, setup: str, place: Place) -> None:
        """Check that a run's hyper-parameters are complete and fit each other."""
        for problem in problems_of_options("method", point.method, point.hyperparameters):
            if not problem.is_missing_key:
                raise problem.error(place.at("methods", point.method))
            block = self.place.at("setups", setup, "methods", point.method)
            raise UserError(f"{problem.error(block)}; {place.keys} needs it")
