# Lookups in the plan, for the rules' input functions and params.


OF_WILDCARDS = inspect.signature(lambda wildcards: None)


def planned(look_up):
    """Return an input function that calls look_up(wildcards); a user's mistake ends Snakemake with one sentence."""

    def checked(wildcards):
        try:
            return look_up(wildcards)
        except UserError as error:
            sys.exit(f"error: {error}")

    checked.__signature__ = OF_WILDCARDS  # Snakemake asks for it at every call
    return checked


def command_line_settings():
    """Return what --config sets; a mistake in it, or a full disk, ends Snakemake with one sentence."""
    try:
        jobs.check_writable(Path.cwd())
        plan.check_folder(Path(workflow.basedir))
        return load_settings(config)
    except UserError as error:
        sys.exit(f"error: {error}")


settings = command_line_settings()
jobs.offer_data_root(settings.data_root)


def figures_of(scale):
    """Return an input function for all figures of a scale, and for what these were made from and is gone."""
    return planned(lambda wildcards: [*plan.load(scale).figure_files(), *plan.load(scale).deleted_files()])


def of_run(look_up):
    """Return an input function that calls look_up(run) with the wildcards' run."""
    return planned(lambda wildcards: look_up(plan.load(wildcards.scale).run(wildcards.run)))


# One function for both files: a call costs Snakemake more than it costs the plan.
data_of_run = of_run(lambda run: {"dataset": paths.META.format(dataset=run.dataset_folder), "labels": run.labels})


def of_figure(look_up):
    """Return an input function that calls look_up(scale, figure) with the wildcards' figure."""
    return planned(lambda wildcards: look_up(wildcards.scale, plan.load(wildcards.scale).figure(wildcards.figure)))


def device_of(run):
    """Return the device that a run asks for; a job that takes no GPU for itself sees none."""
    device = settings.device or run.resources.device
    return "cpu" if device == "auto" and settings.assign_gpus and run.resources.gpu == 0 else device


def gpus_of(run):
    """Return how many GPUs a run takes: one at least where it must train on one."""
    return max(run.resources.gpu, int(device_of(run) == "cuda"))


def check_gpus():
    """End Snakemake with one sentence where this machine has fewer GPUs than its jobs would take."""
    needed = max((job.resources.get("gpu", 0) for job in workflow.dag.needrun_jobs()), default=0)
    limit = workflow.global_resources["gpu"].value if "gpu" in workflow.global_resources else needed
    try:
        gpus.check_enough(needed, limit)
    except UserError as error:
        sys.exit(f"error: {error}")


def file_labels(kind):
    """Return an input function for a drawing's labels in Snakemake's report, which switches between the two kinds."""
    return lambda wildcards: {"figure": paths.sorted_number(wildcards.figure), "file": kind}


def placed(key):
    """Return an input function for where a page belongs in Snakemake's report: its 'category' or its 'labels'."""

    def looked_up(wildcards):
        pages = json.loads(Path(paths.PAGES.format(scale=wildcards.scale), paths.PLACED).read_text(encoding="utf-8"))
        return pages[wildcards.page][key]

    return looked_up
