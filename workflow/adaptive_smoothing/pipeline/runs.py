"""Runs: from the grids of a scale's figures to trainings, each with its name, its specification and what it reads."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.specification import NoiseSpec, RunSpec, fingerprint
from adaptive_smoothing.pipeline import run_names, stages
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.dataset_folders import DatasetFolders
from adaptive_smoothing.pipeline.grids import Point, points
from adaptive_smoothing.pipeline.scales import Figure, Resources, RunGrid, Scale
from adaptive_smoothing.pipeline.validation import validate_options

Identity = tuple[str, int]
Specification = dict[str, Any]  # a run's specification as plain values


@dataclass(frozen=True)
class Run:
    """One training: its name, its full specification and the files that it reads."""

    name: str
    setup: str
    noise: str
    method: str
    dataset_folder: str
    labels: str
    resources: Resources
    spec: RunSpec = field(hash=False)
    recipe: str  # the specification as JSON, but for the seed and whether the posterior is kept
    data_root: str | None = None

    @property
    def identity(self) -> Identity:
        """What makes two runs the same training: the specification, whatever is kept afterwards."""
        return self.recipe, self.spec.seed

    @property
    def keeps_posterior(self) -> bool:
        """Whether the run also writes posterior.pt, because a figure looks at the trained posterior."""
        return self.spec.keep_posterior

    @cached_property
    def specification(self) -> Specification:
        """The specification as plain values, as Snakemake and records take them."""
        return self.spec.plain()

    @cached_property
    def fingerprint(self) -> str:
        """Digits that stand for the specification."""
        return fingerprint(self.specification)

    @property
    def code(self) -> Code:
        """The code that this run's training reaches."""
        return stages.code("train", method=self.method, **self._entries)

    @property
    def measuring_code(self) -> Code:
        """The code that measuring this run's label noise reaches."""
        return stages.code("measure_label_noise", **self._entries)

    @property
    def variant(self) -> str | None:
        """The name of the data that stand in for the published ones (None: it is those)."""
        return self.spec.dataset.variant

    @property
    def _entries(self) -> dict[str, str]:
        """The registered entries, besides the method, whose code a job on this run reaches."""
        source = registry.constant("dataset", self.spec.dataset.name, "IMAGES") or "memory"
        return {"model": self.spec.model.name, "source": str(source)}

    def with_seed(self, seed: int) -> "Run":
        """Return the run that differs in its training seed alone."""
        name = f"{self.name.rsplit('/', 1)[0]}/seed{seed}"
        return replace(self, name=name, spec=self.spec.model_copy(update={"seed": seed}))

    def keeping_posterior(self) -> "Run":
        """Return the run that also writes its posterior."""
        spec = self.spec.model_copy(update={"keep_posterior": True})
        return replace(self, name=f"{self.name}-posterior", spec=spec)


class RunBuilder:
    """Builds the runs of a scale's figures."""

    def __init__(self, name: str, scale: Scale, datasets: DatasetFolders) -> None:
        """Take a checked scale, its name and its datasets."""
        self._name, self._scale, self._datasets = name, scale, datasets
        self._prefixes = run_names.prefixes(scale.setups)

    def runs(self, figure: Figure) -> Iterator[Run]:
        """Yield a figure's runs, seed by seed; none keeps its posterior, and two may have the same name."""
        for grid in figure.runs:
            seeds = self._scale.seeds if grid.seeds is None else grid.seeds
            for point in points(grid, self._scale.setups[grid.setup]):
                yield from map(self._run(grid, point).with_seed, seeds)

    def _run(self, grid: RunGrid, point: Point) -> Run:
        """Return a point's run with seed 0."""
        setup = self._scale.setups[grid.setup]
        folder = self._datasets.folders[setup.dataset]
        spec = self._spec(grid, point)
        return Run(
            name=f"{self._prefixes[grid.setup]}/{run_names.grid_name(point)}/seed0",
            setup=grid.setup,
            noise=point.noise,
            method=point.method,
            dataset_folder=folder,
            labels=paths.LABELS.format(
                scale=self._name, dataset=folder, noise=point.noise, noise_seed=self._scale.noise_seed
            ),
            resources=setup.resources,
            spec=spec,
            recipe=spec.as_text(),
            data_root=self._scale.data_root,
        )

    def _spec(self, grid: RunGrid, point: Point) -> RunSpec:
        setup = self._scale.setups[grid.setup]
        hyperparameters = validate_options("method", point.method, point.hyperparameters, self._name)
        has_posterior = registry.constant("method", point.method, "POSTERIOR") is True
        return RunSpec(
            dataset=self._datasets.specs[setup.dataset],
            validation=self._scale.datasets[setup.dataset].validation,
            noise=NoiseSpec(key=point.noise, **self._scale.noises[point.noise].parameters()),
            noise_seed=self._scale.noise_seed,
            model=setup.model,
            augment=setup.augment,
            performance=setup.performance,
            train_eval_subset=setup.train_eval_subset,
            epochs=setup.epochs,
            batch_size=setup.batch_size,
            evaluate_every=setup.evaluate_every,
            method=point.method,
            hyperparameters=hyperparameters.model_dump(mode="json"),
            eval_mc_samples=self._scale.eval_mc_samples if has_posterior else None,
            seed=0,
            keep_posterior=False,
        )


def distinct(runs: Iterable[Run]) -> dict[Identity, Run]:
    """Return each training once, by its identity; trainings that would share a name get a digest in theirs."""
    by_name: dict[str, dict[Identity, Run]] = defaultdict(dict)
    for run in runs:
        by_name[run.name].setdefault(run.identity, run)
    named = (_named(run, len(same)) for same in by_name.values() for run in same.values())
    return {run.identity: run for run in named}


def _named(run: Run, sharing: int) -> Run:
    if sharing == 1:
        return run
    text = run.spec.model_copy(update={"keep_posterior": False}).as_text()
    return replace(run, name=run_names.with_digest(run.name, text))
