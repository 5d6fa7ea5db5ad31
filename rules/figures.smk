# Figures: first the tidy table, then the picture of it.


rule collect:
    input:
        metrics=of_figure(
            lambda scale, figure: [paths.METRICS.format(scale=scale, run=run.name) for run in figure.runs]
        ),
        label_noise=of_figure(
            lambda scale, figure: [
                paths.LABEL_NOISE.format(scale=scale, run=run.name, samples=figure.label_noise_mc_samples)
                for run in figure.runs
                if figure.label_noise_mc_samples
            ]
        ),
        datasets=of_figure(
            lambda scale, figure: [
                paths.META.format(dataset=folder)
                for folder in dict.fromkeys(run.dataset_folder for run in figure.runs)
                if figure.label_noise_mc_samples
            ]
        ),
    output:
        table=paths.TABLE,
    log:
        "logs/{scale}/collect/{figure}.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        description=of_figure(lambda scale, figure: figure.description),
        runs=of_figure(lambda scale, figure: [run.name for run in figure.runs]),
        folders=of_figure(
            lambda scale, figure: [paths.DATASET.format(dataset=run.dataset_folder) for run in figure.runs]
        ),
        asked=of_figure(lambda scale, figure: figure.asked),
        code=of_figure(lambda scale, figure: figure.code),
        made_from=of_figure(lambda scale, figure: {"scale_files": plan.load(scale).files, "entries": figure.entries}),
        strict=settings.strict,
    script:
        "../workflow/scripts/collect.py"


rule draw:
    input:
        table=paths.TABLE,
    output:
        pdf=report("paper_figures/{scale}/{figure}.pdf", category="Figure files", labels=file_labels("PDF")),
        png=report("paper_figures/{scale}/{figure}.png", category="Figure files", labels=file_labels("PNG")),
        numbers=paths.NUMBERS,
        drawn=paths.DRAWN,
    log:
        "logs/{scale}/draw/{figure}.log",
    wildcard_constraints:
        scale=rf"(?!{paths.PAPER}/)[A-Za-z0-9_.]+",  # that scale is draw_paper's
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        code=of_figure(lambda scale, figure: figure.drawing_code),
    script:
        "../workflow/scripts/draw.py"


# Figures of the paper's own scale are at the top of paper_figures/.
use rule draw as draw_paper with:
    input:
        table=paths.TABLE.replace("{scale}", paths.PAPER),
    output:
        pdf=report("paper_figures/{figure}.pdf", category="Figure files", labels=file_labels("PDF")),
        png=report("paper_figures/{figure}.png", category="Figure files", labels=file_labels("PNG")),
        numbers=paths.NUMBERS.replace("{scale}", paths.PAPER),
        drawn=paths.DRAWN.replace("{scale}", paths.PAPER),
    log:
        f"logs/{paths.PAPER}/draw/{{figure}}.log",
    params:
        code=planned(lambda wildcards: plan.load(paths.PAPER).figure(wildcards.figure).drawing_code),
