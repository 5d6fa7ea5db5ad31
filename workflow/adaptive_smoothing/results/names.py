"""How hyper-parameters, their values and noises are written: one table for figures, claims and reports."""

from typing import Any

PARAMETERS = {
    "alpha": "α",
    "rho": "ρ",
    "hess_init": "h₀",
    "lr": "learning rate",
    "beta1": "β₁",
    "beta2": "β₂",
    "ess_per_example": "λ / N",
    "hessian": "Σ",
}


def parameter_name(name: str) -> str:
    """Return a hyper-parameter as it is written on figures ('alpha' → 'α')."""
    return PARAMETERS.get(name, name.replace("_", " "))


def value_text(value: object) -> str:
    """Return a hyper-parameter's value as it is written on figures: numbers at their shortest."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def parameter_value(name: str, value: object) -> str:
    """Return 'α = 0.1' and the like."""
    return f"{parameter_name(name)} = {value_text(value)}"


def noise_name(key: str, description: dict[str, Any]) -> str:
    """Return a noise as it is written on figures, from its kind and parameters ('symmetric 20 %')."""
    match description["noises"].get(key):
        case {"kind": "natural"}:
            return "labels as they come"
        case {"kind": "symmetric", "rate": rate}:
            return f"symmetric {100 * rate:g} %"
        case {"kind": "pair", "rate": rate}:
            return f"pair flip {100 * rate:g} %"
        case {"kind": "class_dependent", "kappa": kappa, "beta": beta}:
            return f"class-dependent κ = {kappa:g}, β = {beta:g}"
        case _:
            return key.replace("_", " ")
