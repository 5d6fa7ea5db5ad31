# Figures 2–10 of "Variational Learning Induces Adaptive Label Smoothing", at every scale in config/.
#
#   snakemake --dry-run                                the plan of the whole paper
#   snakemake paper_figures/fig7.pdf --profile slurm   one figure, trained on the cluster
#   snakemake small --cores 2                          all figures at small scale
import inspect
import json
import sys
from pathlib import Path

from adaptive_smoothing import jobs, paths, plan, provenance, warm
from adaptive_smoothing.config import load_settings
from adaptive_smoothing.errors import UserError

jobs.offer_library()


report: "rules/report.rst"


wildcard_constraints:
    scale=r"[A-Za-z0-9_.]+",
    figure=r"[A-Za-z0-9_]+",
    dataset=r"[^/]+",
    noise=r"[A-Za-z0-9_.]+",
    noise_seed=r"\d+",
    samples=r"\d+",


include: "rules/common.smk"


rule all:
    default_target: True
    input:
        figures_of("paper"),


for scale in plan.scale_names():

    rule:
        name:
            scale
        input:
            figures_of(scale),


include: "rules/data.smk"
include: "rules/noise.smk"
include: "rules/train.smk"
include: "rules/metrics.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


warm_process = warm.Warm()


onstart:
    if settings.warm and workflow.local_exec:  # on a cluster's node it would be another machine's
        warm_process.start()


onsuccess:
    warm_process.stop()


onerror:
    warm_process.stop()
