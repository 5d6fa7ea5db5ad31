# Noisy labels: made once for all methods.


rule corrupt_labels:
    input:
        dataset=paths.META,
    output:
        labels=paths.LABELS,
    log:
        "logs/{scale}/corrupt_labels/{dataset}/{noise}-seed{noise_seed}.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        noise=planned(lambda wildcards: plan.load(wildcards.scale).noise(wildcards.noise)),
        split=planned(lambda wildcards: plan.load(wildcards.scale).split(wildcards.dataset)),
        code=planned(
            lambda wildcards: stages.code(
                "corrupt_labels", noise=plan.load(wildcards.scale).noise(wildcards.noise)["kind"]
            )
        ),
    script:
        "../workflow/scripts/corrupt_labels.py"
