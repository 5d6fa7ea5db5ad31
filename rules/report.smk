# What a reader should know beside the figures.


rule notes:
    input:
        tables=planned(
            lambda wildcards: [
                paths.TABLE.format(scale=wildcards.scale, figure=figure)
                for figure in plan.load(wildcards.scale).scale.figures
            ]
        ),
    output:
        notes=report(paths.NOTES, category="Notes"),
    log:
        "logs/{scale}/notes.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        label=planned(lambda wildcards: plan.load(wildcards.scale).scale.label),
        policy=settings.versions,
        versions=provenance.versions(),
        code=plan.notes_code(),
    script:
        "../workflow/scripts/notes.py"
