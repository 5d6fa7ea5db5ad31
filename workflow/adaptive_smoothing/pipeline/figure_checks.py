"""Checks one figure of a scale: its name and kind, its grids, and whether its kind can draw what they ask for."""

import json
from typing import Any

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.asked import AskedFigure, AskedRun, Undrawable
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.data.corruption import transition_matrix
from adaptive_smoothing.pipeline.grids import Point, points
from adaptive_smoothing.pipeline.scales import Figure, RunGrid, Scale, Setup
from adaptive_smoothing.pipeline.validation import Place, problems_of_options, validate_options


class FigureCheck:
    """Checks the figure at one place of a scale."""

    def __init__(self, scale: Scale, file: Place, keys: tuple[str, str]) -> None:
        """Take the scale, its file, and the keys that lead to the figure: ('figures', 'fig5')."""
        self.scale, self.file, (self.key, self.name) = scale, file, keys
        self.place = file.at(*keys)

    def check(self, figure: Figure) -> None:
        """Raise UserError for the first mistake in the figure."""
        self._check_name()
        kind = self._checked_kind(figure)
        options = validate_options("figure", kind, figure.options, self.place.at("options"))
        runs = [run for index, grid in enumerate(figure.runs) for run in self._checked_runs(grid, index)]
        self._check_distinct(figure, runs)
        samples = figure.label_noise_mc_samples
        self._check_drawable(AskedFigure(kind, options.model_dump(mode="json"), samples, tuple(runs)))

    def _check_name(self) -> None:
        """Check that the figure has a name that may stand under its key, `figures` or `extras`."""
        if self.name.startswith(paths.EXTRA) != (self.key == "extras"):
            other = "figures" if self.key == "extras" else "extras"
            raise UserError(
                f"{self.file.at(self.key)}: '{self.name}' belongs under '{other}'; names of extras begin with "
                f"'{paths.EXTRA}', and only those"
            )

    def _checked_kind(self, figure: Figure) -> str:
        """Return the registered figure that draws this one: that of its `kind`, or of its own name."""
        kinds, kind = registry.names("figure"), figure.kind_of(self.name)
        if kind not in kinds:
            raise unknown("figure kind", kind, kinds, str(self.place.at("kind") if figure.kind else self.place))
        return kind

    def _checked_runs(self, grid: RunGrid, index: int) -> list[AskedRun]:
        """Return the points of a grid; raise UserError for the first mistake in it."""
        where = self.place.at("runs", index)
        if grid.setup not in self.scale.setups:
            raise unknown("setup", grid.setup, self.scale.setups, str(where.at("setup")))
        setup = self.scale.setups[grid.setup]
        for noise in grid.noises:
            self._check_noise(setup, noise, where.at("noises"))
        for method, axes in grid.methods.items():
            if method not in setup.methods:
                raise unknown("method", method, setup.methods, str(where.at("methods")))
            self._check_axes(method, axes, where.at("methods", method))
        runs = []
        for point in points(grid, setup):
            self._check_point(point, grid.setup, where)
            runs.append(self._asked(point, grid.setup, index))
        return runs

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

    def _check_axes(self, method: str, axes: dict[str, tuple[Any, ...]], place: Place) -> None:
        for axis, values in axes.items():
            for value in values:
                for problem in problems_of_options("method", method, {axis: value}):
                    if not problem.is_missing_key:
                        raise problem.error(place)

    def _check_point(self, point: Point, setup: str, place: Place) -> None:
        """Check that a run's hyper-parameters are complete and fit each other."""
        for problem in problems_of_options("method", point.method, point.hyperparameters):
            if not problem.is_missing_key:
                raise problem.error(place.at("methods", point.method))
            block = self.file.at("setups", setup, "methods", point.method)
            raise UserError(f"{problem.error(block)}; {place.keys} needs it")

    def _asked(self, point: Point, setup_name: str, index: int) -> AskedRun:
        setup = self.scale.setups[setup_name]
        dataset = self.scale.datasets[setup.dataset].name
        classes = registry.constant("dataset", dataset, "CLASSES")
        return AskedRun(
            grid=index,
            setup=setup_name,
            dataset=setup.dataset,
            model=setup.model.name,
            noise=point.noise,
            noise_options=self.scale.noises[point.noise].options,
            method=point.method,
            hyperparameters=point.hyperparameters,
            has_posterior=registry.constant("method", point.method, "POSTERIOR") is True,
            images_on_disk=registry.constant("dataset", dataset, "IMAGES") == "files",
            classes=classes if isinstance(classes, int) else None,
        )

    def _check_distinct(self, figure: Figure, runs: list[AskedRun]) -> None:
        """Check that the figure's table tells any two runs apart; it would take them for seeds of one otherwise."""
        axes = {(method, axis) for grid in figure.runs for method, values in grid.methods.items() for axis in values}
        seen: dict[str, AskedRun] = {}
        for run in runs:
            values = {axis: run.hyperparameters.get(axis) for method, axis in axes if method == run.method}
            noise = self.scale.noises[run.noise].parameters()
            key = json.dumps([run.dataset, run.model, noise, run.method, values], sort_keys=True)
            other = seen.setdefault(key, run)
            place = self.place.at("runs", run.grid)
            if other.noise != run.noise:
                raise UserError(
                    f"{place.at('noises')}: '{other.noise}' and '{run.noise}' are the same corruption; a figure would "
                    "take their runs for more seeds"
                )
            if other.setup != run.setup:
                raise UserError(
                    f"{place.at('setup')}: '{other.setup}' and '{run.setup}' have the same dataset and model; a figure "
                    f"would take their runs of '{run.method}' for more seeds; give one of them a dataset key of its own"
                )

    def _check_drawable(self, asked: AskedFigure) -> None:
        """Check what the figure's table and its kind say of the runs that they can draw."""
        table = str(registry.constant("figure", asked.kind, "TABLE"))
        for kind, name in (("table", table), ("figure", asked.kind)):
            if (check_runs := registry.check_of_runs(kind, name)) is None:
                continue
            try:
                check_runs(asked)
            except Undrawable as error:
                raise UserError(f"{self.place.at(*error.keys)}: {error}") from None
