# Training: one job a run.


rule train:
    input:
        unpack(data_of_run),
    output:
        metrics=paths.METRICS,
    log:
        paths.TRAIN_LOG,
    wildcard_constraints:
        run=r".+/seed\d+",
    conda:
        "../envs/train.yaml"
    threads: of_run(lambda run: run.resources.threads)
    resources:
        gpu=of_run(gpus_of),
        mem_mb=of_run(lambda run: run.resources.mem_mb),
        runtime=of_run(lambda run: run.resources.runtime),
        assign_gpus=int(settings.assign_gpus),
        device=of_run(device_of),
        data_root=of_run(lambda run: jobs.data_root(run.data_root, run.variant)[0]),
        checkpoint_minutes=of_run(lambda run: run.resources.checkpoint_minutes),
        checkpoint_epochs=of_run(lambda run: run.resources.checkpoint_epochs),
    params:
        specification=of_run(lambda run: run.specification),
        code=of_run(lambda run: run.code),
        versions=environment.versions() if settings.versions == "rerun" else "not looked at",
    script:
        "../workflow/scripts/train.py"


use rule train as train_keeping_posterior with:
    output:
        metrics=paths.METRICS,
        posterior=paths.POSTERIOR,
    wildcard_constraints:
        run=r".+/seed\d+-posterior",
