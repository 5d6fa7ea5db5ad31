"""Figures of a scale: the runs that each one draws, and what its table says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.specification import fingerprint
from adaptive_smoothing.pipeline import stages
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.runs import Run, RunBuilder, distinct
from adaptive_smoothing.pipeline.scales import Figure, Scale
from adaptive_smoothing.pipeline.validation import validate_options
from adaptive_smoothing.results.names import declared_names


@dataclass(frozen=True)
class FigurePlan:
    """One figure of a scale and the runs it draws."""

    name: str
    runs: tuple[Run, ...]
    label_noise_mc_samples: int | None
    description: dict[str, Any] = field(hash=False)

    @property
    def code(self) -> Code:
        """The code that makes the figure's table."""
        return stages.code("collect", table=self.description["table"])

    @property
    def asked(self) -> dict[str, list[str]]:
        """What the records of the runs' files must say, as `collect` takes it: fingerprints, one a run."""
        return {
            "specifications": [run.fingerprint for run in self.runs],
            "codes": [fingerprint(run.code) for run in self.runs],
            "measuring_codes": [fingerprint(run.measuring_code) for run in self.runs if self.label_noise_mc_samples],
        }

    @property
    def entries(self) -> list[str]:
        """The modules of the registered entries that the figure is made from."""
        named = {("table", self.description["table"]), ("figure", self.description["kind"])}
        for run in self.runs:
            named |= {("method", run.method), ("model", run.spec.model.name)}
            named |= {("dataset", run.spec.dataset.name), ("noise", run.spec.noise.kind)}
        return sorted(registry.module_name(kind, name) for kind, name in named)

    @property
    def drawing_code(self) -> Code:
        """The code that draws the figure."""
        return stages.code("draw", figure=self.description["kind"])


def shared_runs(figures: Mapping[str, Figure], builder: RunBuilder) -> dict[str, tuple[Run, ...]]:
    """Return the runs of each figure. Figures that ask for the same training share one run.

    A run keeps its posterior if one of its figures measures label noise.
    """
    asked = {name: list(builder.runs(figure)) for name, figure in figures.items()}
    measured = {run.identity for name, runs in asked.items() if figures[name].label_noise_mc_samples for run in runs}
    by_identity = distinct(
        run.keeping_posterior() if run.identity in measured else run for runs in asked.values() for run in runs
    )
    return {name: tuple(dict.fromkeys(by_identity[run.identity] for run in runs)) for name, runs in asked.items()}


def description(name: str, scale: Scale, scale_name: str) -> dict[str, Any]:
    """Return what a figure's table says of itself, so that drawing needs the table alone."""
    figure = scale.every_figure[name]
    kind = figure.kind_of(name)
    options = validate_options("figure", kind, figure.options, scale_name)
    return {
        "figure": name,
        "kind": kind,
        "table": registry.constant("figure", kind, "TABLE"),
        "scale": scale_name,
        "label": scale.label,
        "title": figure.title,
        "options": options.model_dump(mode="json"),
        "grids": _axes(figure),
        "label_noise_mc_samples": figure.label_noise_mc_samples,
        "classes": _classes(figure, scale),
        "datasets": list(dict.fromkeys(scale.setups[grid.setup].dataset for grid in figure.runs)),
        "method_names": declared_names(dict.fromkeys(method for grid in figure.runs for method in grid.methods)),
        "noises": {noise: scale.noises[noise].parameters() for grid in figure.runs for noise in grid.noises},
    }


def _axes(figure: Figure) -> dict[str, list[str]]:
    """Return the axes of each method's grids."""
    axes: dict[str, list[str]] = {}
    for grid in figure.runs:
        for method, values in grid.methods.items():
            axes[method] = list(dict.fromkeys([*axes.get(method, []), *values]))
    return axes


def _classes(figure: Figure, scale: Scale) -> dict[str, int]:
    """Return the number of classes of each dataset in a figure, where the dataset's file states it."""
    keys = dict.fromkeys(scale.setups[grid.setup].dataset for grid in figure.runs)
    stated = {key: registry.constant("dataset", scale.datasets[key].name, "CLASSES") for key in keys}
    return {key: classes for key, classes in stated.items() if isinstance(classes, int)}
