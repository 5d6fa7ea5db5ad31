# Datasets: downloaded or made once, then opened by every job.


rule prepare_dataset:
    output:
        files=[f"{paths.DATASET}/{name}" for name in paths.DATASET_FILES],
    log:
        "logs/prepare_dataset/{dataset}.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        source=planned(lambda wildcards: plan.dataset_source(wildcards.dataset)),
        code=planned(lambda wildcards: plan.dataset_code(wildcards.dataset)),
    script:
        "../workflow/scripts/prepare_dataset.py"
