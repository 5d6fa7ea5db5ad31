# Figures 2–10 of "Variational Learning Induces Adaptive Label Smoothing", at every scale in config/.
#
#   snakemake --dry-run                                the plan of the whole paper
#   snakemake paper_figures/fig7.pdf --profile slurm   one figure, trained on the cluster
#   snakemake small --cores 2                          all figures at small scale
import atexit
import gc
import inspect
import json
import sys
from pathlib import Path

from adaptive_smoothing.core import environment, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, stages
from adaptive_smoothing.pipeline.runtime import fork_server, gpus, jobs
from adaptive_smoothing.pipeline.scales import load_settings

# While it plans, Snakemake only adds to its graph of jobs; looking through all of it for garbage, again and again, took
# a seventh of a dry run. What is young is still looked through.
usual_thresholds = gc.get_threshold()
gc.set_threshold(10_000, 1_000_000, 1_000_000)

jobs.offer_environment()


report: "rules/report.rst"


wildcard_constraints:
    scale=r"[A-Za-z0-9_.]+",
    figure=r"[A-Za-z0-9_]+",
    dataset=r"[^/]+",
    noise=r"[A-Za-z0-9_.]+",
    noise_seed=r"\d+",
    samples=r"\d+",


include: "rules/common.smk"


scales, problems = plan.target_names()
if workflow.is_main_process:
    for problem in problems:  # it stops nobody who asks for another scale
        print(f"warning: {problem}", file=sys.stderr)


rule all:
    default_target: True
    input:
        figures_of("paper"),


for scale in scales:

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


server = fork_server.ForkServer()
if settings.fork_server and workflow.remote_exec and jobs.count_target_jobs(sys.argv) > 1:
    # Several jobs in one (--groups) on a cluster's node, where no hook is called.
    server.start(fork_server.NODE_PRELOAD, own_session=False)
    atexit.register(server.stop)


onstart:
    gc.freeze()
    gc.set_threshold(*usual_thresholds)
    if workflow.local_exec:
        # Cores limit local jobs. With the limit a second as well, Snakemake 9.27 leaves a timer behind at every start and
        # end of a job, which has all waiting jobs looked at once a second until the end: a job more, a look more a second.
        workflow.scheduler.job_rate_limiter = None
    if settings.assign_gpus and workflow.local_exec:
        check_gpus()
    if settings.fork_server and workflow.local_exec:  # jobs on a cluster's nodes could not reach it
        server.start()


onsuccess:
    server.stop()


onerror:
    server.stop()
