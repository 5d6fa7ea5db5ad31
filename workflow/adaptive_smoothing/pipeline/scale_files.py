"""Reads scale files: config/<scale>.yaml → a checked Scale."""

import re
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.pipeline import inherit, yaml_files
from adaptive_smoothing.pipeline.scale_checks import check
from adaptive_smoothing.pipeline.scales import Scale
from adaptive_smoothing.pipeline.stages import RULES
from adaptive_smoothing.pipeline.validation import Content, Place, validate

PICTURES = (".pdf", ".png")


def load_scale(path: Path, heirs: tuple[str, ...] = ()) -> Scale:
    """Read and check a scale file; `heirs` are the scales that inherit from it on the way here.

    Raises UserError, one sentence that names file, key and legal values.
    """
    content, place = _read(path), Place(str(path))
    if inherit.KEY in content:
        heir: inherit.Heir = validate(TypeAdapter(inherit.Heir), content, place)
        inherited = _inherited(heir.inherits, path, (*heirs, path.stem))
        inherit.check(heir, inherited, place)
        content = inherit.expand(heir, inherited)
        place = replace(place, overrides=heir.overrides, inherited=inherited)
    scale: Scale = validate(TypeAdapter(Scale), content, place)
    check(scale, place)
    return scale


def check_name(path: Path) -> None:
    """Raise UserError if a scale's file has a name that cannot be a target or a folder of figures."""
    if path.stem in RULES:
        raise UserError(f"{path}: a scale cannot be called '{path.stem}', as a rule is; rename the file")
    if not re.fullmatch(r"[A-Za-z0-9_.]+", path.stem):
        raise UserError(f"{path}: a scale's name must consist of letters, digits, '_' and '.'; rename the file")
    if path.stem.endswith(PICTURES):
        raise UserError(f"{path}: a scale's name must not end like a picture's, in '{path.stem[-4:]}'; rename the file")


def files_of(path: Path) -> list[Path]:
    """Return a scale's file, and those of the scales that it inherits from."""
    base = _read(path).get(inherit.KEY)
    return [path] if base is None else [path, *files_of(path.with_name(f"{base}.yaml"))]


def _inherited(name: str, path: Path, heirs: tuple[str, ...]) -> Content:
    """Return the valid content of the scale that `path` inherits from."""
    place = Place(str(path), (inherit.KEY,))
    if name in heirs:
        circle = " → ".join((*heirs[heirs.index(name) :], name))
        raise UserError(f"{place}: {circle} is a circle; one of these scales must not inherit")
    base = path.with_name(f"{name}.yaml")
    if not base.is_file():
        raise unknown("scale", name, set(_scales_beside(path)) - {path.stem}, str(place))
    return load_scale(base, heirs).model_dump(exclude_unset=True)


def _read(path: Path) -> Content:
    """Return a scale file's content as it stands; raise UserError if it is missing or no mapping."""
    try:
        return yaml_files.read(path, Scale.model_fields)
    except FileNotFoundError:
        raise unknown("scale", path.stem, _scales_beside(path), str(path.parent)) from None


def _scales_beside(path: Path) -> list[str]:
    return [other.stem for other in path.parent.glob("*.yaml")]
