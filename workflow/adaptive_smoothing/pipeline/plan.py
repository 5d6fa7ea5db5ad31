"""From a scale to its figures, their runs and everything that a run depends on. No torch, no pandas, no file made.

A run is one training. Two figures that ask for the same specification share the run.
"""

import contextlib
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.specification import DatasetSpec, ModelSpec, NoiseSpec, RunSpec
from adaptive_smoothing.pipeline import stages
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.scales import (
    Figure,
    Resources,
    RunGrid,
    Scale,
    Setup,
    Value,
    load_scale,
    validate_options,
)

CONFIG = Path("config")
LONGEST_OPTIONS = 40  # characters of a dataset's options that its folder spells out
Specification = dict[str, Any]


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
    def identity(self) -> tuple[str, int]:
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


@dataclass(frozen=True)
class Location:
    """Where a scale says that a dataset's own files lie (None: not said), and mirrors to fetch them from."""

    root: str | None
    variant: str | None
    mirrors: tuple[str, ...] = ()


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
    def drawing_code(self) -> Code:
        """The code that draws the figure."""
        return stages.code("draw", figure=self.description["kind"])


class Plan:
    """All figures and runs of one scale."""

    def __init__(self, name: str, config: Path = CONFIG) -> None:
        """Load config/<name>.yaml; raise UserError if it is missing or wrong."""
        self.name = name
        self.file = config / f"{name}.yaml"
        self.scale: Scale = load_scale(self.file)

    @cached_property
    def figures(self) -> dict[str, FigurePlan]:
        """The scale's own figures by name: those that the target of its name makes."""
        return {name: self.all_figures[name] for name in self.scale.figures}

    @cached_property
    def all_figures(self) -> dict[str, FigurePlan]:
        """The scale's own figures and its extras by name."""
        wanted = {name: list(self._runs_of(name)) for name in self._entries}
        measured = {
            run.identity for name, runs in wanted.items() if self._entries[name].label_noise_mc_samples for run in runs
        }
        named = _named(
            [_keeping(run) if run.identity in measured else run for runs in wanted.values() for run in runs],
            self._prefixes(),
        )
        by_identity = {run.identity: run for run in named}
        return {
            name: FigurePlan(
                name=name,
                runs=tuple(dict.fromkeys(by_identity[run.identity] for run in runs)),
                label_noise_mc_samples=self._entries[name].label_noise_mc_samples,
                description=self._description(name),
            )
            for name, runs in wanted.items()
        }

    @cached_property
    def runs(self) -> dict[str, Run]:
        """All runs by name; a run that several figures share is here once."""
        return {run.name: run for figure in self.all_figures.values() for run in figure.runs}

    def figure(self, name: str) -> FigurePlan:
        """Return the plan of a figure or extra; raise UserError if the scale does not define it."""
        if name not in self.all_figures:
            raise unknown("figure", name, self.all_figures, str(self.file))
        return self.all_figures[name]

    def run(self, name: str) -> Run:
        """Return a run; raise UserError if no figure of the scale asks for it."""
        if name not in self.runs:
            raise unknown("run", name, self.runs, str(self.file))
        return self.runs[name]

    def noise(self, name: str) -> dict[str, Any]:
        """Return a noise's parameters."""
        if name not in self.scale.noises:
            raise unknown("noise", name, self.scale.noises, str(self.file))
        return self.scale.noises[name].parameters()

    def figure_files(self) -> list[str]:
        """Return every table, PDF, PNG and record of the scale, its notes, claims' verdicts and report."""
        told = (paths.NOTES, paths.CLAIMS, paths.CLAIMS_TABLE, paths.INDEX, paths.INDEX_PAGE, paths.PAGES)
        tables = [pattern.format(scale=self.name) for pattern in told]
        for name in self.scale.figures:
            tables += [pattern.format(scale=self.name, figure=name) for pattern in (paths.TABLE, paths.DRAWN)]
        return tables + [file for name in self.scale.figures for file in paths.figure_files(self.name, name)]

    def about(self) -> str:
        """Return what the scale's file says of itself: the comment at its head, without the marks of comments."""
        lines = itertools.takewhile(
            lambda line: line.startswith("#"), self.file.read_text(encoding="utf-8").splitlines()
        )
        return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)

    def documents(self) -> dict[str, str]:
        """Return the documents on this scale's deviations and assumptions that are here, with the sha256 of each."""
        found = [Path(pattern.format(scale=self.name)) for pattern in paths.DOCUMENTS]
        return {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found if path.is_file()}

    def extra_files(self) -> list[str]:
        """Return PDF and PNG of every extra; raise UserError if the scale has none."""
        if not self.scale.extras:
            raise UserError(f"{self.file}: has no extras; they stand under the key 'extras'")
        return [file for name in self.scale.extras for file in paths.figure_files(self.name, name)]

    def sources(self) -> dict[str, dict[str, Any]]:
        """Return name, options and data seed of each prepared dataset, by its folder."""
        return {self._dataset_folder(key): self._dataset_source(key) for key in self.scale.datasets}

    def location(self, folder: str) -> "Location":
        """Return where the files of a dataset folder lie or come from."""
        mirrors = [d.mirrors for key, d in self.scale.datasets.items() if self._dataset_folder(key) == folder]
        return Location(self.scale.data_root, self.scale.data_variant, tuple(mirrors[0]) if mirrors else ())

    def split(self, folder: str) -> dict[str, int]:
        """Return data seed and number of held-out validation examples of a dataset folder."""
        by_folder = {self._dataset_folder(key): dataset.validation for key, dataset in self.scale.datasets.items()}
        if folder not in by_folder:
            raise unknown("dataset folder", folder, by_folder, str(self.file))
        return {"data_seed": self.scale.data_seed, "held_out": by_folder[folder]}

    def _dataset_source(self, key: str) -> dict[str, Any]:
        dataset = self.scale.datasets[key]
        checked = validate_options("dataset", dataset.name, dataset.options, str(self.file))
        return {
            "name": dataset.name,
            "options": checked.model_dump(mode="json"),
            "data_seed": self.scale.data_seed,
            "variant": self.scale.data_variant,
        }

    def _dataset_folder(self, key: str) -> str:
        source = self._dataset_source(key)
        given = {name: value for name, value in sorted(source["options"].items()) if value is not None}
        options = "-".join(f"{name}{_written(value)}" for name, value in given.items())
        if len(options) > LONGEST_OPTIONS:
            options = hashlib.sha256(options.encode()).hexdigest()[:8]
        parts = (source["name"], source["variant"], f"seed{source['data_seed']}", options)
        return "-".join(part for part in parts if part)

    def _description(self, name: str) -> dict[str, Any]:
        """What a figure's table says of itself, so that drawing needs the table alone."""
        figure = self._entries[name]
        kind = figure.kind_of(name)
        options = validate_options("figure", kind, figure.options, str(self.file))
        grids: dict[str, list[str]] = {}
        for grid in figure.runs:
            for method, values in grid.methods.items():
                axes = grids.setdefault(method, [])
                axes += [axis for axis in values if axis not in axes]
        return {
            "figure": name,
            "kind": kind,
            "table": registry.constant("figure", kind, "TABLE"),
            "scale": self.name,
            "label": self.scale.label,
            "title": figure.title,
            "options": options.model_dump(mode="json"),
            "grids": grids,
            "label_noise_mc_samples": figure.label_noise_mc_samples,
            "classes": self._classes(figure),
            "noises": {noise: self.noise(noise) for grid in figure.runs for noise in grid.noises},
        }

    def _classes(self, figure: Figure) -> dict[str, int]:
        """Return the number of classes of each dataset in a figure, where the dataset's file states it."""
        keys = dict.fromkeys(self.scale.setups[grid.setup].dataset for grid in figure.runs)
        stated = {key: registry.constant("dataset", self.scale.datasets[key].name, "CLASSES") for key in keys}
        return {key: classes for key, classes in stated.items() if isinstance(classes, int)}

    def _prefixes(self) -> dict[str, str]:
        """Return each setup's `<dataset>-<model>`, with the setup's name where two setups share it."""
        setups = self.scale.setups
        short = {name: f"{setup.dataset}-{setup.model.name}" for name, setup in setups.items()}
        shared = list(short.values())
        return {name: f"{text}-{name}" if shared.count(text) > 1 else text for name, text in short.items()}

    @property
    def _entries(self) -> dict[str, Figure]:
        """What the scale's YAML says of each figure and extra; no name is both (config.py checks it)."""
        return {**self.scale.figures, **self.scale.extras}

    def _runs_of(self, figure: str) -> Iterator[Run]:
        key = "extras" if figure in self.scale.extras else "figures"
        for grid in self._entries[figure].runs:
            seeds = self.scale.seeds if grid.seeds is None else grid.seeds
            for noise, (method, axes) in itertools.product(grid.noises, grid.methods.items()):
                for point in itertools.product(*axes.values()):
                    values = dict(zip(axes, point, strict=True))
                    run = self._run(grid, noise, method, values, f"{self.file}, {key}.{figure}")
                    yield from (replace(run, spec=run.spec.model_copy(update={"seed": seed})) for seed in seeds)

    def _run(self, grid: RunGrid, noise: str, method: str, values: dict[str, Value], where: str) -> Run:
        """Return a run that lacks but its seed and its full name."""
        setup = self.scale.setups[grid.setup]
        base = _base_hyperparameters(setup, noise, method)
        checked = validate_options("method", method, {**base, **values}, where)
        folder = self._dataset_folder(setup.dataset)
        posterior = registry.constant("method", method, "POSTERIOR") is True
        spec = RunSpec(
            dataset=DatasetSpec(key=setup.dataset, **self._dataset_source(setup.dataset)),
            validation=self.scale.datasets[setup.dataset].validation,
            noise=NoiseSpec(key=noise, **self.noise(noise)),
            noise_seed=self.scale.noise_seed,
            model=ModelSpec(name=setup.model.name, options=setup.model.options),
            augment=setup.augment,
            performance=setup.performance,
            train_eval_subset=setup.train_eval_subset,
            epochs=setup.epochs,
            batch_size=setup.batch_size,
            evaluate_every=setup.evaluate_every,
            method=method,
            hyperparameters=checked.model_dump(mode="json"),
            eval_mc_samples=self.scale.eval_mc_samples if posterior else None,
            seed=0,  # each run gets its own
            keep_posterior=False,
        )
        differs = [f"{key}{_written(value)}" for key, value in values.items() if base.get(key) != value]
        return Run(
            name="-".join([method, *differs]),  # completed by _named
            setup=grid.setup,
            noise=noise,
            method=method,
            dataset_folder=folder,
            labels=paths.LABELS.format(scale=self.name, dataset=folder, noise=noise, noise_seed=self.scale.noise_seed),
            resources=setup.resources,
            spec=spec,
            recipe=spec.as_text(),
            data_root=self.scale.data_root,
        )


@cache
def load(scale: str) -> Plan:
    """Return the plan of a scale by name, read once a process."""
    return Plan(scale)


def scale_names(config: Path = CONFIG) -> list[str]:
    """Return the names of all scales: one a file in config/."""
    return sorted(path.stem for path in config.glob("*.yaml"))


def dataset_source(folder: str) -> dict[str, Any]:
    """Return name, options and data seed of a prepared dataset's folder; raise UserError if no scale has it.

    A scale that is broken is passed over if another one has the folder, so that a half-written file stops nobody.
    """
    known: list[str] = []
    problems: list[UserError] = []
    for scale in scale_names():
        try:
            sources = load(scale).sources()
        except UserError as error:
            problems.append(error)
            continue
        if folder in sources:
            return sources[folder]
        known += sources
    raise problems[0] if problems else unknown("dataset folder", folder, known, str(CONFIG))


def dataset_location(folder: str) -> Location:
    """Return where the files of a prepared dataset's folder come from, as the scales that use it say together."""
    found = []
    for scale in scale_names():
        with contextlib.suppress(UserError):  # dataset_source has told what is wrong with a scale
            if folder in (one := load(scale)).sources():
                found.append(one.location(folder))
    roots = [location.root for location in found if location.root is not None]
    mirrors = tuple(dict.fromkeys(mirror for location in found for mirror in location.mirrors))
    return Location(roots[0] if roots else None, found[0].variant if found else None, mirrors)


def dataset_code(folder: str) -> Code:
    """Return the code that makes a dataset."""
    return stages.code("prepare_dataset", dataset=dataset_source(folder)["name"])


def _base_hyperparameters(setup: Setup, noise: str, method: str) -> dict[str, Any]:
    return {**setup.methods[method], **setup.noise_overrides.get(noise, {}).get(method, {})}


def _keeping(run: Run) -> Run:
    return replace(run, spec=run.spec.model_copy(update={"keep_posterior": True}))


def _named(runs: list[Run], prefixes: dict[str, str]) -> list[Run]:
    """Return the runs under their full, unique names; a digest of the specification tells colliding ones apart."""
    by_name: dict[str, dict[tuple[str, int], Run]] = defaultdict(dict)
    for run in runs:
        seed = f"seed{run.spec.seed}" + ("-posterior" if run.keeps_posterior else "")
        by_name[f"{prefixes[run.setup]}/{run.noise}/{run.name}/{seed}"].setdefault(run.identity, run)
    result = []
    for name, same in by_name.items():
        for run in same.values():
            result.append(replace(run, name=name if len(same) == 1 else _told_apart(name, run)))
    return result


def _told_apart(name: str, run: Run) -> str:
    """Return a run's name with a digest of its specification."""
    folder, seed = name.rsplit("/", 1)
    whole = run.spec.model_copy(update={"keep_posterior": False}).as_text()
    return f"{folder}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}/{seed}"


def _written(value: object) -> str:
    """Return a value as it stands in file names."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if all(character.isalnum() or character in "._+" for character in text) and len(text) <= 32:
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:8]
