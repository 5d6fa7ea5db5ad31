"""How methods, hyper-parameters, their values and noises are written: one table for figures, claims and reports."""

from collections.abc import Iterable, Mapping
from typing import Any

from adaptive_smoothing.core import registry

METHODS = {"ivon": "IVON", "ls": "LS", "sam": "SAM", "ols": "OLS"}  # in the order of legends
PARAMETERS = {
    "alpha": "α",
    "rho": "ρ",
    "hess_init": "h₀",
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "beta1": "β₁",
    "beta2": "β₂",
    "ess_per_example": "λ / N",
    "hessian": "Σ",
    "kappa": "κ",
    "beta": "β",
}


def declared_names(methods: Iterable[str]) -> dict[str, str]:
    """Return how methods are written whose own files say it (`NAME = "MaxSup"`), by method."""
    registered = registry.names("method")
    named = {method: registry.constant("method", method, "NAME") for method in methods if method in registered}
    return {method: name for method, name in named.items() if isinstance(name, str)}


def method_name(method: str, description: Mapping[str, Any] | None = None) -> str:
    """Return a method as it is written ('sam' → 'SAM').

    That is as METHODS has it, else as the figure's table says (`description`), else as the method's own file says,
    else the method's own name.
    """
    stated = (description or {}).get("method_names", {})
    return METHODS.get(method) or stated.get(method) or declared_names([method]).get(method, method)


def parameter_name(name: str) -> str:
    """Return a hyper-parameter as it is written ('alpha' → 'α')."""
    return PARAMETERS.get(name, name.replace("_", " "))


def value_text(value: object) -> str:
    """Return a hyper-parameter's value as it is written: numbers at their shortest."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def parameter_value(name: str, value: object) -> str:
    """Return 'α = 0.1' and the like."""
    return f"{parameter_name(name)} = {value_text(value)}"


def noise_name(key: str, description: Mapping[str, Any]) -> str:
    """Return a noise of a figure as it is written, by its key in the scale: 'symmetric 20 %', 'labels: web'."""
    noise, words = description.get("noises", {}).get(key, {}), key.replace("_", " ")
    return f"labels: {words}" if noise.get("kind") == "natural" else noise_text(noise) or words


def noise_text(noise: Mapping[str, Any]) -> str:
    """Return a noise as it is written, from its kind and parameters; '' for a kind that has no short text."""
    match noise:
        case {"kind": "natural"}:
            return "natural label noise"
        case {"kind": "symmetric", "rate": rate}:
            return f"symmetric {100 * rate:g} %"
        case {"kind": "pair", "rate": rate}:
            return f"pair flip {100 * rate:g} %"
        case {"kind": "class_dependent"}:
            parameters = [parameter_value(name, noise[name]) for name in ("kappa", "beta") if name in noise]
            return f"class-dependent {', '.join(parameters)}"
    return ""
