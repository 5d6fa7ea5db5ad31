"""A scale: the typed content of config/<scale>.yaml, and what the command line may set.

`scale_files.load_scale` reads one; unknown keys are refused at every level. Plan-time only: no torch, no pandas.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import Distinct, FolderText, NonNegativeInt, PositiveInt, Seed, Strict, is_folder
from adaptive_smoothing.core.specification import Augmentation, Entry, Performance
from adaptive_smoothing.pipeline.validation import validate

Value = bool | int | float | str


def _is_scalar(value: Any) -> Any:
    if isinstance(value, Value):
        return value
    raise PydanticCustomError("scalar", "it must be a number, a word, true or false")


def _is_name(word: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.]*[A-Za-z0-9_][A-Za-z0-9_.]*", word):  # '..' would name another folder
        return word
    raise PydanticCustomError("name", "it must consist of letters, digits, '_' and '.', and not of '.' alone")


def _is_figure_name(word: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_]+", word):
        return word
    raise PydanticCustomError("name", "it must consist of letters, digits and '_'")


def _is_mirror(word: str) -> str:
    return word if "://" in word else is_folder(word)


def _as_truth(value: Any) -> Any:
    """Return what a word of the command line stands for, which Snakemake leaves as it is."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_is_name)]
FigureName = Annotated[str, AfterValidator(_is_figure_name)]
Axis = Annotated[tuple[Annotated[Any, AfterValidator(_is_scalar)], ...], Field(min_length=1), Distinct]
Grid = dict[str, Axis]  # hyper-parameter → its values
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), Distinct]
Mirror = Annotated[str, AfterValidator(_is_mirror)]
Switch = Annotated[bool, BeforeValidator(_as_truth)]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], Field(description="'auto': a GPU where there is one; 'cuda': an error where not")
]


class Dataset(Entry):
    """A dataset, how much of its training part is held out for validation (with noisy labels), and its mirrors.

    `mirrors` are folders or URLs that are tried, in their order, before the publisher's own; another
    list reruns nothing.
    """

    validation: NonNegativeInt
    mirrors: tuple[Mirror, ...] = ()


class Resources(Strict):
    """What one training needs; read by the executor, never by the training."""

    threads: PositiveInt
    gpu: NonNegativeInt
    mem_mb: PositiveInt
    runtime: Annotated[PositiveInt, Field(description="minutes")]
    checkpoint_minutes: Annotated[
        NonNegativeInt, Field(description="how often a training saves its state; 0: every step")
    ]
    checkpoint_epochs: Annotated[NonNegativeInt, Field(description="epochs between saves; 0: by time alone")] = 0
    device: Device = "auto"


class NoiseEntry(BaseModel):
    """A registered kind of noise; further keys are the options that its file declares."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    @property
    def options(self) -> dict[str, Any]:
        """The kind's own options."""
        return self.model_extra or {}

    def parameters(self) -> dict[str, Any]:
        """Return kind and options, as `corruption.transition_matrix` takes them."""
        return self.model_dump(mode="json")


class Setup(Strict):
    """What the runs of one comparison share: dataset, model, budget and each method's hyper-parameters."""

    dataset: Name
    model: Entry
    epochs: PositiveInt
    batch_size: PositiveInt
    evaluate_every: PositiveInt
    augment: Annotated[tuple[Augmentation, ...], Distinct]
    performance: Performance = Performance()
    train_eval_subset: PositiveInt | None = Field(
        default=None, description="training examples on which training accuracies are measured; null: all"
    )
    resources: Resources
    methods: dict[str, dict[str, Any]]
    noise_overrides: dict[str, dict[str, dict[str, Any]]] = Field(
        default={}, description="noise → method → hyper-parameters that differ from `methods` under that noise"
    )

    def hyperparameters(self, noise: str, method: str) -> dict[str, Any]:
        """Return a method's hyper-parameters under a noise, without those that a figure's grid sets."""
        return {**self.methods[method], **self.noise_overrides.get(noise, {}).get(method, {})}


class RunGrid(Strict):
    """Runs that a figure asks for: every noise × every method × the method's grid × every seed."""

    setup: Name
    noises: Annotated[tuple[Name, ...], Field(min_length=1), Distinct]
    methods: dict[str, Grid] = Field(min_length=1)
    seeds: Seeds | None = Field(default=None, description="null: the scale's")


class Figure(Strict):
    """One figure: its title, its runs, whether each run's label noise is measured, and the options of its kind."""

    title: str
    kind: Name | None = Field(default=None, description="the registered figure that draws it; null: that of its name")
    runs: tuple[RunGrid, ...] = ()
    label_noise_mc_samples: PositiveInt | None = None
    options: dict[str, Any] = {}

    def kind_of(self, name: str) -> str:
        """Return the registered kind of this figure, whose name is `name`."""
        return self.kind or name


class Scale(Strict):
    """Everything a figure needs at one size."""

    label: Annotated[str, Field(min_length=1)] | None = Field(
        description="printed on every figure; null only for the paper's own scale"
    )
    tunes: Name | None = Field(default=None, description="the scale that this one finds hyper-parameters for")
    data_seed: Seed
    noise_seed: Seed
    seeds: Seeds = Field(description="training seeds")
    eval_mc_samples: PositiveInt = Field(description="Monte-Carlo samples of a posterior-averaged evaluation")
    data_root: FolderText | None = Field(default=None, description="folder of downloaded files; never fetched into")
    data_variant: Name | None = Field(
        default=None, description="data_root holds other data in the same files' formats, known by this name"
    )
    datasets: dict[Name, Dataset]
    noises: dict[Name, NoiseEntry]
    setups: dict[Name, Setup]
    figures: dict[FigureName, Figure]
    extras: dict[FigureName, Figure] = Field(
        default={}, description="figures that the paper does not have, from runs that it does; no part of the scale"
    )

    @property
    def every_figure(self) -> dict[str, Figure]:
        """All figures and extras by name; no name is both."""
        return {**self.figures, **self.extras}


class Settings(Strict):
    """What `snakemake --config …` may set; none of it is part of a run's specification."""

    strict: Switch = Field(default=False, description="mixed results in a figure are an error, not a note")
    versions: Literal["ignore", "warn", "rerun"] = Field(default="warn", description="what a changed package does")
    data_root: FolderText | None = Field(default=None, description="folder of downloaded archives; default data/raw")
    device: Device | None = Field(default=None, description="overrides the scale's choice of device")
    assign_gpus: Switch = Field(default=False, description="each local training takes free GPUs for itself")
    fork_server: Switch = Field(
        default=True, description="whether local jobs are forks of one process that has imported torch"
    )
    scale: Name = Field(default="paper", description="whose claims and extras the targets of these names make")


def load_settings(values: dict[str, Any]) -> Settings:
    """Return the checked settings of the command line; raise UserError for the first mistake."""
    for key, value in values.items():
        if value is None:
            raise UserError(f"--config, {key}: has no value; a variable of your shell may not be set")
    settings: Settings = validate(TypeAdapter(Settings), values, "--config")
    return settings
