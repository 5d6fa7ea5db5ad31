"""Mixed results: a figure whose rows were not all made by the same code, package versions or kind of device."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Record = dict[str, Any]


def problems(records: Mapping[str, Record], devices: Mapping[str, str]) -> list[str]:
    """Return a sentence for each way in which runs differ that should not.

    Args: `records`, run → its record (specification, code, versions); `devices`, run → device. Code is compared among
    runs of one method and model, since each method has its own.
    """
    return [*_code(records), *_versions(records), *_devices(devices)]


def _code(records: Mapping[str, Record]) -> Iterator[str]:
    groups: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for run, record in records.items():
        specification = record["specification"]
        groups[specification["method"], specification["model"]["name"]][run] = record
    for (method, model), runs in groups.items():
        codes = {json.dumps(record["code"], sort_keys=True) for record in runs.values()}
        if len(codes) > 1:
            differing = _differing(json.loads(code) for code in codes)
            made_by = f"{len(codes)} states of {', '.join(differing)}"
            yield f"{len(runs)} runs of {method} with {model} were made by {made_by}"


def _differing(codes: Iterable[dict[str, str]]) -> list[str]:
    """Return the modules that are not the same in all of `codes`."""
    listed = list(codes)
    modules = sorted(set().union(*listed))
    return [module for module in modules if len({code.get(module) for code in listed}) > 1]


def _versions(records: Mapping[str, Record]) -> Iterator[str]:
    packages = sorted(set().union(*(record["versions"] for record in records.values())))
    for package in packages:
        versions = {str(record["versions"].get(package)) for record in records.values()}
        if len(versions) > 1:
            yield f"runs were made with {package} {' and '.join(sorted(versions))}"


def _devices(devices: Mapping[str, str]) -> Iterator[str]:
    kinds = sorted(set(devices.values()))
    if len(kinds) > 1:
        yield f"runs were made on {' and '.join(kinds)}"
