# Training: one job a run.


rule train:
    input:
        dataset=of_run(lambda run: paths.META.format(dataset=run.dataset_folder)),
        labels=of_run(lambda run: run.labels),
    output:
        metrics=paths.METRICS,
    log:
        "logs/{scale}/train/{run}.log",
    wildcard_constraints:
        run=r".+/seed\d+",
    conda:
        "../envs/train.yaml"
    threads: of_run(lambda run: run.resources.threads)
    resources:
        gpu=of_run(lambda run: run.resources.gpu),
        mem_mb=of_run(lambda run: run.resources.mem_mb),
        runtime=of_run(lambda run: run.resources.runtime),
        checkpoint_minutes=of_run(lambda run: run.resources.checkpoint_minutes),
    params:
        specification=of_run(lambda run: run.specification),
        code=of_run(lambda run: run.code),
        versions=provenance.versions() if settings.versions == "rerun" else "not looked at",
    script:
        "../workflow/scripts/train.py"


use rule train as train_keeping_posterior with:
    output:
        metrics=paths.METRICS,
        posterior=paths.POSTERIOR,
    wildcard_constraints:
        run=r".+/seed\d+-posterior",
