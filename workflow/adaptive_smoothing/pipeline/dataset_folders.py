"""The prepared datasets of a scale: data/<folder>, what makes each of them, and where its files come from."""

from dataclasses import dataclass
from typing import Any

from adaptive_smoothing.core.errors import unknown
from adaptive_smoothing.core.specification import DatasetSpec
from adaptive_smoothing.pipeline.run_names import short_digest, spelled
from adaptive_smoothing.pipeline.scales import Scale
from adaptive_smoothing.pipeline.validation import validate_options

LONGEST_OPTIONS = 40  # characters of a dataset's options that its folder spells out


@dataclass(frozen=True)
class Location:
    """The folder that a scale names for a dataset's own files (None: it names none), and mirrors to fetch them from."""

    root: str | None
    variant: str | None
    mirrors: tuple[str, ...] = ()


class DatasetFolders:
    """The prepared datasets of a scale, by their key in the scale and by their folder."""

    def __init__(self, scale: Scale, file: str) -> None:
        """Take a checked scale and its file, for messages."""
        self._scale, self._file = scale, file
        self.specs = {key: self._spec(key) for key in scale.datasets}
        self.folders = {key: folder_of(spec) for key, spec in self.specs.items()}
        self._keys = {folder: key for key, folder in reversed(self.folders.items())}

    def sources(self) -> dict[str, dict[str, Any]]:
        """Return name, options, data seed and variant of each prepared dataset, by its folder."""
        return {self.folders[key]: spec.model_dump(mode="json", exclude={"key"}) for key, spec in self.specs.items()}

    def location(self, folder: str) -> Location:
        """Return where the files of a folder lie or come from."""
        mirrors = self._scale.datasets[self._keys[folder]].mirrors if folder in self._keys else ()
        return Location(self._scale.data_root, self._scale.data_variant, mirrors)

    def split(self, folder: str) -> dict[str, int]:
        """Return data seed and number of held-out validation examples of a folder."""
        if folder not in self._keys:
            raise unknown("dataset folder", folder, self._keys, self._file)
        held_out = self._scale.datasets[self._keys[folder]].validation
        return {"data_seed": self._scale.data_seed, "held_out": held_out}

    def _spec(self, key: str) -> DatasetSpec:
        dataset = self._scale.datasets[key]
        return DatasetSpec(
            key=key,
            name=dataset.name,
            options=validate_options("dataset", dataset.name, dataset.options, self._file).model_dump(mode="json"),
            data_seed=self._scale.data_seed,
            variant=self._scale.data_variant,
        )


def folder_of(spec: DatasetSpec) -> str:
    """Return a dataset's folder: its name, variant, data seed and the options that are set."""
    options = "-".join(f"{name}{spelled(value)}" for name, value in sorted(spec.options.items()) if value is not None)
    if len(options) > LONGEST_OPTIONS:
        options = short_digest(options)
    return "-".join(part for part in (spec.name, spec.variant, f"seed{spec.data_seed}", options) if part)
