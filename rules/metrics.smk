# Measurements on trained runs.


rule measure_label_noise:
    input:
        unpack(data_of_run),
        posterior=paths.POSTERIOR,
    output:
        label_noise=paths.LABEL_NOISE,
    log:
        "logs/{scale}/measure_label_noise/{run}-samples{samples}.log",
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
    params:
        specification=of_run(lambda run: run.specification),
        code=of_run(lambda run: run.measuring_code),
    script:
        "../workflow/scripts/measure_label_noise.py"
