# Notes, verdicts on the claims, and the report.


all_tables = planned(
    lambda wildcards: [
        paths.TABLE.format(scale=wildcards.scale, figure=figure) for figure in plan.load(wildcards.scale).scale.figures
    ]
)


rule notes:
    input:
        tables=all_tables,
    output:
        notes=report(
            paths.NOTES, category="Text files", labels={"file": "notes.md", "holds": "mixed results, versions"}
        ),
    log:
        "logs/{scale}/notes.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        label=planned(lambda wildcards: plan.load(wildcards.scale).scale.label),
        policy=settings.versions,
        versions=environment.versions(),
        code=stages.code("notes"),
    script:
        "../workflow/scripts/notes.py"


rule judge_claims:
    input:
        tables=all_tables,
    output:
        report=report(paths.CLAIMS, category="Text files", labels={"file": "claims.md", "holds": "all verdicts"}),
        table=paths.CLAIMS_TABLE,
    log:
        "logs/{scale}/judge_claims.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        label=planned(lambda wildcards: plan.load(wildcards.scale).scale.label),
        code=stages.code("judge_claims"),
    script:
        "../workflow/scripts/judge_claims.py"


# snakemake claims --config scale=small: the verdicts of a scale (the paper's own, if none is named) and what they need.
rule claims:
    input:
        paths.CLAIMS.format(scale=settings.scale),
        paths.CLAIMS_TABLE.format(scale=settings.scale),
        planned(lambda wildcards: plan.load(settings.scale).deleted_files()),


rule index:
    input:
        tables=planned(
            lambda wildcards: [
                paths.TABLE.format(scale=wildcards.scale, figure=figure)
                for figure in plan.load(wildcards.scale).all_figures
            ]
        ),
        drawn=planned(
            lambda wildcards: [
                file
                for figure in plan.load(wildcards.scale).all_figures
                for file in paths.figure_files(wildcards.scale, figure)
            ]
        ),
        claims=paths.CLAIMS,
        claims_table=paths.CLAIMS_TABLE,
    output:
        index=report(paths.INDEX, category="Text files", labels={"file": "index.md", "holds": "this report as text"}),
        page=paths.INDEX_PAGE,
        accuracy=paths.ACCURACY,
        pages=report(
            directory(paths.PAGES), patterns=["{page}.html"], category=placed("category"), labels=placed("labels")
        ),
    log:
        "logs/{scale}/index.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        label=planned(lambda wildcards: plan.load(wildcards.scale).scale.label),
        about=planned(lambda wildcards: plan.load(wildcards.scale).about()),
        documents=planned(lambda wildcards: plan.load(wildcards.scale).documents()),
        policy=settings.versions,
        versions=environment.versions(),
        code=stages.code("index"),
    script:
        "../workflow/scripts/index.py"


# snakemake extras --config scale=small: the figures beyond the paper's, from the same runs.
rule extras:
    input:
        planned(lambda wildcards: plan.load(settings.scale).extra_files()),
        planned(lambda wildcards: plan.load(settings.scale).deleted_files()),
