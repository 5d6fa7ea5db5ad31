"""A scale: the typed content of config/<scale>.yaml. Unknown keys are refused at every level, in one sentence.

Method hyper-parameters and figure options are checked against the classes that the method's and the figure's file
declare (see `registry.options_class`). Plan-time only: no torch, no pandas.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.core.specification import Augmentation, Performance
from adaptive_smoothing.data.corruption import transition_matrix as noise_matrix
from adaptive_smoothing.pipeline import inherit

EXTRA = "extra_"  # what names of extras, and of no other figures, begin with
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$", description="letters, digits, '_' and '.' only")]
Value = bool | int | float | str
Grid = dict[str, tuple[Value, ...]]
Seed = Annotated[int, Field(ge=0)]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], Field(description="'auto': a GPU where there is one; 'cuda': an error where not")
]


class Entry(Strict):
    """A registered dataset or model by name, with the options that its file declares."""

    name: str
    options: dict[str, Any] = {}


class Dataset(Entry):
    """A dataset, how much of its training part is held out for validation (with noisy labels), and its mirrors.

    `mirrors` are folders or URLs that are tried, in their order, before the publisher's own; another
    list reruns nothing.
    """

    validation: Annotated[int, Field(ge=0)]
    mirrors: tuple[str, ...] = ()


class Resources(Strict):
    """What one training needs; read by the executor, never by the training."""

    threads: PositiveInt
    gpu: Annotated[int, Field(ge=0)]
    mem_mb: PositiveInt
    runtime: Annotated[int, Field(ge=1, description="minutes")]
    checkpoint_minutes: Annotated[int, Field(ge=0, description="how often a training saves its state; 0: every step")]
    checkpoint_epochs: Annotated[int, Field(ge=0, description="epochs between saves; 0: by time alone")] = 0
    device: Device = "auto"


class NoiseEntry(BaseModel):
    """A registered kind of noise, with the options that its file declares beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    def parameters(self) -> dict[str, Any]:
        """Return kind and options as `noise.matrix` takes them."""
        return self.model_dump(mode="json")


class Setup(Strict):
    """What the runs of one comparison share: dataset, model, budget and each method's hyper-parameters."""

    dataset: Name
    model: Entry
    epochs: PositiveInt
    batch_size: PositiveInt
    evaluate_every: PositiveInt
    augment: tuple[Augmentation, ...]
    performance: Performance = Performance()
    train_eval_subset: PositiveInt | None = Field(
        default=None, description="training examples on which training accuracies are measured; null: all"
    )
    resources: Resources
    methods: dict[str, dict[str, Any]]
    noise_overrides: dict[str, dict[str, dict[str, Any]]] = {}


class RunGrid(Strict):
    """Runs that a figure asks for: every noise × every method × the method's grid × every seed."""

    setup: Name
    noises: tuple[Name, ...]
    methods: dict[str, Grid]
    seeds: tuple[Seed, ...] | None = None


class Figure(Strict):
    """One figure: its title, its runs, whether each run's label noise is measured, and the figure's own options."""

    title: str
    runs: tuple[RunGrid, ...] = ()
    label_noise_mc_samples: PositiveInt | None = None
    options: dict[str, Any] = {}


class Scale(Strict):
    """Everything a figure needs at one size."""

    label: str | None = Field(description="printed on every figure; null only for the paper's own scale")
    data_seed: Seed
    noise_seed: Seed
    seeds: tuple[Seed, ...] = Field(min_length=1, description="training seeds")
    eval_mc_samples: PositiveInt = Field(description="Monte-Carlo samples of a posterior-averaged evaluation")
    data_root: str | None = Field(default=None, description="folder of downloaded files; never fetched into")
    data_variant: Name | None = Field(
        default=None, description="data_root holds other data in the same files' formats, known by this name"
    )
    datasets: dict[Name, Dataset]
    noises: dict[Name, NoiseEntry]
    setups: dict[Name, Setup]
    figures: dict[Name, Figure]
    extras: dict[Name, Figure] = Field(
        default={}, description="figures that the paper does not have, from runs that it does; no part of the scale"
    )


class Settings(Strict):
    """What `snakemake --config …` may set; none of it is part of a run's specification."""

    strict: bool = Field(default=False, description="mixed results in a figure are an error, not a note")
    versions: Literal["ignore", "warn", "rerun"] = Field(default="warn", description="what a changed package does")
    data_root: str | None = Field(default=None, description="folder of downloaded archives; default data/raw")
    device: Device | None = Field(default=None, description="overrides the scale's choice of device")
    assign_gpus: bool = Field(default=False, description="each local training takes free GPUs for itself")
    fork_server: bool = Field(
        default=True, description="whether local jobs are forks of one process that has imported torch"
    )
    scale: Name = Field(default="paper", description="whose claims and extras the targets of these names make")


def load_settings(values: dict[str, Any]) -> Settings:
    """Return the checked settings of the command line."""
    settings: Settings = validate(TypeAdapter(Settings), values, "--config")
    return settings


def load_scale(path: Path) -> Scale:
    """Read and check a scale's YAML; raise UserError, one sentence naming file, key and legal values."""
    content = _read(path)
    if inherit.KEY in content:
        own = validate(TypeAdapter(inherit.Inheriting), content, str(path))
        content = inherit.expand(own, path, _read, load_scale)
    scale: Scale = validate(TypeAdapter(Scale), content, str(path))
    _check_references(scale, str(path))
    return scale


def _read(path: Path) -> dict[str, Any]:
    """Return a scale file's content as it stands; raise UserError if it is missing or no mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except FileNotFoundError:
        scales = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise unknown("scale", path.stem, scales, str(path.parent)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        raise UserError(f"{path}: is empty; a scale needs {', '.join(Scale.model_fields)}")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a mapping of {', '.join(Scale.model_fields)}")
    return content


def validate(adapter: TypeAdapter[Any], content: object, where: str) -> Any:
    """Validate `content`; turn the first problem into one sentence that names the key and the legal ones."""
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        raise _as_sentence(error, adapter, where) from None


def validate_options(kind: str, name: str, values: dict[str, Any], where: str) -> Strict:
    """Return the checked options of a registered entry."""
    registry.check(kind, name, where)
    checked_options: Strict = validate(_adapter(kind, name), values, f"{where} ({name})")
    return checked_options


@cache
def _adapter(kind: str, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(registry.options_class(kind, name))


def _as_sentence(error: ValidationError, adapter: TypeAdapter[Any], where: str) -> UserError:
    problems = error.errors()
    # A wrong key explains the missing one that it was meant to be, so it comes first.
    problem = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in problem["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        parent, last = ".".join(str(part) for part in problem["loc"][:-1]), problem["loc"][-1]
        legal = _legal_keys(adapter.json_schema(), problem["loc"][:-1])
        return unknown("key", last, legal, f"{where}, in {parent or 'the top level'}")
    if problem["type"] == "missing":
        return UserError(f"{where}: key '{key}' is missing{more}")
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        legal = [name.strip("' ") for name in context["expected_tags"].split(",")]
        return unknown(f"kind of {key}", context["tag"], legal, where)
    return UserError(f"{where}: key '{key}' is {problem['input']!r}: {problem['msg']}{more}")


def _legal_keys(schema: dict[str, Any], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are legal at a location of the JSON schema."""
    definitions, node = schema.get("$defs", {}), schema

    def resolved(candidate: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in candidate:
            candidate = definitions[candidate["$ref"].rsplit("/", 1)[1]]
        return candidate

    for part in location:
        node = resolved(node)
        if "discriminator" in node and part in node["discriminator"]["mapping"]:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif isinstance(part, int):
            node = node.get("items", {})
        else:
            # a mapping with named keys has its values' schema under 'patternProperties' or 'additionalProperties'
            values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties") or {}]
            node = node.get("properties", {}).get(part) or values[0]
        if "anyOf" in node:
            node = next((option for option in node["anyOf"] if "$ref" in option or "items" in option), {})
    return list(resolved(node).get("properties", {}))


class StrictLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error and 1e-3 is a number (YAML 1.1 takes it for a word)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; raise YAMLError for a key given twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key '{key}' is given twice, line {node.start_mark.line + 1} and on")
        return super().construct_mapping(node, deep=deep)


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _check_references(scale: Scale, where: str) -> None:
    """Check every name that one part of a scale uses of another part, or of a registry."""
    if scale.data_variant is not None and scale.data_root is None:
        raise UserError(f"{where}: data_variant '{scale.data_variant}' needs data_root, the folder of those data")
    for name, dataset in scale.datasets.items():
        validate_options("dataset", dataset.name, dataset.options, f"{where}, datasets.{name}")
    for name, noise in scale.noises.items():
        validate_options("noise", noise.kind, noise.model_extra or {}, f"{where}, noises.{name}")
    for name, setup in scale.setups.items():
        _check_setup(scale, setup, f"{where}, setups.{name}")
    for key, figures in (("figures", scale.figures), ("extras", scale.extras)):
        for name, figure in figures.items():
            _check_figures_name(key, name, where)
            _check_figure(scale, name, figure, f"{where}, {key}.{name}")


def _check_setup(scale: Scale, setup: Setup, where: str) -> None:
    if setup.dataset not in scale.datasets:
        raise unknown("dataset", setup.dataset, scale.datasets, where)
    validate_options("model", setup.model.name, setup.model.options, where)
    for method in setup.methods:
        registry.check("method", method, where)
    for noise, overrides in setup.noise_overrides.items():
        if noise not in scale.noises:
            raise unknown("noise", noise, scale.noises, f"{where}, noise_overrides")
        for method in overrides:
            if method not in setup.methods:
                raise unknown("method", method, setup.methods, f"{where}, noise_overrides.{noise}")


def _check_figures_name(key: str, name: str, where: str) -> None:
    """Check a figure against the registered ones that may stand under its key, `figures` or `extras`."""
    legal = [known for known in registry.names("figure") if known.startswith(EXTRA) == (key == "extras")]
    if name not in legal and name in registry.names("figure"):
        other = "figures" if key == "extras" else "extras"
        raise UserError(
            f"{where}, {key}: '{name}' belongs under '{other}': extras, and they alone, begin with '{EXTRA}'"
        )
    if name not in legal:
        raise unknown("figure" if key == "figures" else "extra", name, legal, f"{where}, {key}.{name}")


def _check_figure(scale: Scale, name: str, figure: Figure, where: str) -> None:
    validate_options("figure", name, figure.options, where)
    for grid in figure.runs:
        if grid.setup not in scale.setups:
            raise unknown("setup", grid.setup, scale.setups, where)
        setup = scale.setups[grid.setup]
        for noise in grid.noises:
            if noise not in scale.noises:
                raise unknown("noise", noise, scale.noises, where)
            _check_noise(scale, setup, noise, where)
        for method in grid.methods:
            if method not in setup.methods:
                raise unknown("method", method, setup.methods, where)


def _check_noise(scale: Scale, setup: Setup, noise: str, where: str) -> None:
    """Check a noise against the dataset's number of classes, where the dataset's file states it."""
    classes = registry.constant("dataset", scale.datasets[setup.dataset].name, "CLASSES")
    if isinstance(classes, int):
        try:
            noise_matrix(scale.noises[noise].parameters(), classes)
        except UserError as error:
            raise UserError(f"{where}: noise '{noise}' on dataset '{setup.dataset}': {error}") from error
