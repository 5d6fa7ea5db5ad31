"""What each rule runs: one table binds a rule to the function that its script calls and to the code that it reaches.

A rule, its script (workflow/scripts/<rule>.py) and its log folder share a name. The script calls `runtime.jobs.run`
with that name; the rule's param `code` is `code` of it. Every job's script imports this module, so it imports little.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A rule's function ('room.module:name') and the kinds of registered entries whose code its jobs reach as well."""

    function: str
    kinds: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The function's module."""
        return self.function.partition(":")[0]


STAGES = {
    "prepare_dataset": Stage("data.prepare:prepare", ("dataset",)),
    "corrupt_labels": Stage("data.labels:corrupt_labels", ("noise",)),
    "train": Stage("training.job:train", ("method", "model", "source")),
    "measure_label_noise": Stage("theory.label_noise:measure", ("model", "source")),
    "collect": Stage("results.collect:collect", ("table",)),
    "draw": Stage("figures.draw:draw", ("figure",)),
    "notes": Stage("results.notes:write"),
    "judge_claims": Stage("results.claims.judge:judge"),
    "index": Stage("results.report.write:write"),
}


TARGETS = ("all", "claims", "extras")  # rules that make nothing themselves
VARIANTS = ("draw_paper", "train_keeping_posterior")  # rules that share a script with another
RULES = frozenset((*STAGES, *TARGETS, *VARIANTS))  # each scale has a rule of its own name besides


def code(rule: str, **entries: str) -> dict[str, str]:
    """Return module → digest for a job of a rule; `entries` names one entry of each of the stage's kinds."""
    from adaptive_smoothing.core import registry  # planning alone needs these
    from adaptive_smoothing.pipeline import code_digest

    stage = STAGES[rule]
    if entries.keys() != set(stage.kinds):
        raise TypeError(f"a job of rule {rule} reaches {stage.kinds}, not {tuple(entries)}")
    return code_digest.code(stage.module, *(registry.module_name(kind, name) for kind, name in sorted(entries.items())))
