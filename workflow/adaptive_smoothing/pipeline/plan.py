"""The plan of a scale: its figures, their runs and every file of theirs. No torch, no pandas, no file made.

A run is one training. Two figures that ask for the same specification share the run.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.pipeline import stages
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.dataset_folders import DatasetFolders, Location
from adaptive_smoothing.pipeline.deleted import deleted_files
from adaptive_smoothing.pipeline.figure_plans import FigurePlan, description, shared_runs
from adaptive_smoothing.pipeline.own_files import content_of_dataset
from adaptive_smoothing.pipeline.runs import Run, RunBuilder, Specification
from adaptive_smoothing.pipeline.runtime.jobs import data_root
from adaptive_smoothing.pipeline.scale_files import check_name, files_of, load_scale

__all__ = [
    "CONFIG",
    "FigurePlan",
    "Location",
    "Plan",
    "Run",
    "Specification",
    "dataset_code",
    "dataset_location",
    "dataset_source",
    "load",
    "scale_names",
]
CONFIG = Path("config")


class Plan:
    """All figures and runs of one scale."""

    def __init__(self, name: str, config: Path = CONFIG) -> None:
        """Load config/<name>.yaml; raise UserError if it is missing or wrong."""
        self.name = name
        self.file = config / f"{name}.yaml"
        if self.file.is_file():
            check_name(self.file)
        self.scale = load_scale(self.file)

    @cached_property
    def figures(self) -> dict[str, FigurePlan]:
        """The scale's own figures by name: those that the target of its name makes."""
        return {name: self.all_figures[name] for name in self.scale.figures}

    @cached_property
    def all_figures(self) -> dict[str, FigurePlan]:
        """The scale's own figures and its extras by name."""
        figures = self.scale.every_figure
        runs = shared_runs(figures, RunBuilder(self.name, self.scale, self.datasets))
        return {
            name: FigurePlan(name, runs[name], figure.label_noise_mc_samples, description(name, self.scale, self.name))
            for name, figure in figures.items()
        }

    @cached_property
    def runs(self) -> dict[str, Run]:
        """All runs by name; a run that several figures share is here once."""
        return {run.name: run for figure in self.all_figures.values() for run in figure.runs}

    @cached_property
    def datasets(self) -> DatasetFolders:
        """The scale's prepared datasets."""
        return DatasetFolders(self.scale, str(self.file))

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
        """Return every table, PDF, PNG, CSV and record of the scale, its notes, verdicts of claims and report."""
        report = (paths.INDEX, paths.INDEX_PAGE, paths.ACCURACY, paths.PAGES)
        patterns = (paths.NOTES, paths.CLAIMS, paths.CLAIMS_TABLE, *report)
        tables = [pattern.format(scale=self.name) for pattern in patterns]
        for name in self.scale.figures:
            of_figure = (paths.TABLE, paths.NUMBERS, paths.DRAWN)
            tables += [pattern.format(scale=self.name, figure=name) for pattern in of_figure]
        return tables + [file for name in self.scale.figures for file in paths.figure_files(self.name, name)]

    def extra_files(self) -> list[str]:
        """Return PDF and PNG of every extra; raise UserError if the scale has none."""
        if not self.scale.extras:
            raise UserError(f"{self.file}: has no extras; they stand under the key 'extras'")
        return [file for name in self.scale.extras for file in paths.figure_files(self.name, name)]

    def deleted_files(self, figures: Sequence[FigurePlan] = ()) -> list[str]:
        """Return the results that tables of these figures (none: of all) were made from and that are gone."""
        return deleted_files(self.name, figures or self.all_figures.values())

    @cached_property
    def files(self) -> list[str]:
        """The scale's file, and those of the scales that it inherits from."""
        return [path.as_posix() for path in files_of(self.file)]

    def about(self) -> str:
        """Return what the scale's file says of itself: the comment at its head, without the marks of comments."""
        lines = itertools.takewhile(
            lambda line: line.startswith("#"), self.file.read_text(encoding="utf-8").splitlines()
        )
        return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)

    def documents(self) -> dict[str, str]:
        """Return the documents on this scale's deviations and assumptions that exist, with the sha256 of each."""
        files = [Path(pattern.format(scale=self.name)) for pattern in paths.DOCUMENTS]
        return {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}

    def sources(self) -> dict[str, dict[str, Any]]:
        """Return name, options, data seed and variant of each prepared dataset, by its folder."""
        return self.datasets.sources()

    def location(self, folder: str) -> Location:
        """Return where the files of a dataset folder lie or come from."""
        return self.datasets.location(folder)

    def split(self, folder: str) -> dict[str, int]:
        """Return data seed and number of held-out validation examples of a dataset folder."""
        return self.datasets.split(folder)


@cache
def load(scale: str) -> Plan:
    """Return the plan of a scale by name, read once a process."""
    return Plan(scale)


def scale_names(config: Path = CONFIG) -> list[str]:
    """Return the names of all scales: one a file in config/; hidden files are none."""
    files = (path for path in config.glob("*.yaml") if path.is_file() and not path.name.startswith("."))
    return sorted(path.stem for path in files)


def target_names(config: Path = CONFIG) -> tuple[list[str], list[UserError]]:
    """Return the scales that can be targets, and what is wrong with the names of the others."""
    names, problems = [], []
    for name in scale_names(config):
        try:
            check_name(config / f"{name}.yaml")
        except UserError as problem:
            problems.append(problem)
        else:
            names.append(name)
    return names, problems


def check_folder(project: Path) -> None:
    """Raise UserError if Snakemake works in a folder without scales; `project` is the Snakefile's own."""
    if not CONFIG.is_dir():
        raise UserError(f"there is no folder '{CONFIG}' in {Path.cwd()}; start Snakemake in the project's, {project}")


def dataset_source(folder: str) -> dict[str, Any]:
    """Return what makes a dataset folder: name, options, data seed and variant, and the digest of the user's own files.

    Raises UserError if no scale has the folder.
    """
    source = next(_plans_with(folder)).sources()[folder]
    location = dataset_location(folder)
    root = Path(data_root(location.root, location.variant)[0])
    content = content_of_dataset(source["name"], source["options"], root, folder)
    return source if content is None else {**source, "content": content}


def dataset_location(folder: str) -> Location:
    """Return where the files of a dataset folder come from, according to all scales that have it."""
    locations = [plan.location(folder) for plan in _plans_with(folder)]
    roots = [location.root for location in locations if location.root is not None]
    mirrors = tuple(dict.fromkeys(mirror for location in locations for mirror in location.mirrors))
    return Location(roots[0] if roots else None, locations[0].variant, mirrors)


def dataset_code(folder: str) -> Code:
    """Return the code that makes a dataset."""
    return stages.code("prepare_dataset", dataset=next(_plans_with(folder)).sources()[folder]["name"])


def _plans_with(folder: str) -> Iterator[Plan]:
    """Yield the plans of the scales that have a dataset folder; raise UserError if there is none.

    A broken scale is ignored if another one has the folder, so that a half-written file stops nobody.
    """
    folders: list[str] = []
    problems: list[UserError] = []
    for scale in scale_names():
        try:
            sources = load(scale).sources()
        except UserError as error:
            problems.append(error)
            continue
        folders += sources
        if folder in sources:
            yield load(scale)
    if folder not in folders:
        raise problems[0] if problems else unknown("dataset folder", folder, folders, str(CONFIG))
