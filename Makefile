# One way to do each thing, on a laptop and in CI. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PYTEST_ARGS ?=
SCALE ?= paper
FIG ?=
ALL ?=
FOLLOW ?=
ARCHIVE ?=
FORCE ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CONSTRAINTS := envs/constraints.txt
SMK := Snakefile $(wildcard rules/*.smk)
SLURM_TESTS := executor/tests/slurm tests/slurm
# tox has a venv of its own: it would clash with the versions of packaging that Snakemake allows.
TOX := 4.67.15
TOX_VENV := .venv-tox

# Snakemake starts further programs, which are to be those of the venv; the venv itself is made by the user's Python.
USER_PATH := $(PATH)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Variables: CORES=$(CORES) (how many jobs' cores at once), PYTHON=$(PYTHON) (3.11 or newer), SCALE=$(SCALE), PYTEST_ARGS"

.PHONY: small
small: $(INSTALLED) ## Set up where needed, then all nine figures at small scale, in paper_figures/small
	$(BIN)/snakemake small --cores $(CORES)

.PHONY: smoke
smoke: $(INSTALLED) ## A smoke test: the paper's own nine figures, a few steps a run on tiny data, in paper_figures/rehearsal
	@$(BIN)/smoothing smoke --cores $(CORES)

.PHONY: rehearse
rehearse: smoke ## The former name of 'make smoke'
	@echo "'make rehearse' is now 'make smoke', or 'smoothing smoke'"

.PHONY: why
why: $(INSTALLED) ## Show what would run, and why, and run nothing: SCALE (paper), FIG (all of its figures)
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.explain $(SCALE) $(FIG)

.PHONY: estimate
estimate: $(INSTALLED) ## What figures will cost in time, and how that is known: SCALE (paper), FIG (all of its figures)
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.estimate.command $(SCALE) $(FIG)

.PHONY: status
status: $(INSTALLED) ## What is done, runs, waits and failed: SCALE (paper), FIG (all of its figures), FOLLOW=1 (live)
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.status $(SCALE) $(FIG) $(if $(FOLLOW),--follow)

.PHONY: provenance
provenance: $(INSTALLED) ## From a figure to all that made it, every hash checked: FIG=paper_figures/small/fig7.pdf, ALL=1 (specifications)
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.provenance $(FIG) $(if $(ALL),--all)

.PHONY: export
export: $(INSTALLED) ## Write a scale's tables and metrics into one archive: SCALE
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.archive export $(SCALE)

.PHONY: figures-from
figures-from: $(INSTALLED) ## Redraw all figures of an archive, without training: ARCHIVE=small-results.tar.xz, FORCE=1 (write over others)
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.archive figures-from $(ARCHIVE) $(if $(FORCE),--force)

.PHONY: report
report: $(INSTALLED) ## One HTML file to read a finished scale in, and to pass on: SCALE
	$(BIN)/snakemake $(SCALE) --report results/$(SCALE)/report.html || { \
	    echo "error: something of scale '$(SCALE)' is not made yet: 'snakemake $(SCALE)' makes it," \
	        "'make report-so-far SCALE=$(SCALE)' reports what is there" >&2; exit 1; }

.PHONY: report-so-far
report-so-far: $(INSTALLED) ## The same of a scale that is not finished, or where a run failed, from what is there: SCALE
	@$(BIN)/python -m adaptive_smoothing.pipeline.commands.partial_report $(SCALE)

.PHONY: bench
bench: $(INSTALLED) ## Time what docs/benchmarks.md tells, each against what it stands beside
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/collecting.py
	$(BIN)/python benchmarks/overhead.py small --figure fig6
	$(BIN)/python benchmarks/steps.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/side_by_side.py
	$(BIN)/python benchmarks/input.py
	$(BIN)/python benchmarks/against_reference.py

.PHONY: bench-gpu
bench-gpu: $(INSTALLED) ## On a GPU: images/s, step times and IVON's share in them
	$(BIN)/python benchmarks/gpu.py

.PHONY: plan
plan: $(INSTALLED) ## Show what the whole paper would run, and run nothing
	$(BIN)/snakemake --dry-run

.PHONY: test
test: lint ## Set up where needed, then every check: formatting, lints, types, all tests
	$(BIN)/pytest -n 3 $(PYTEST_ARGS)

.PHONY: test-executor
test-executor: $(TOX_VENV)/.tox-$(TOX) ## The executor's wheel in clean environments: with its oldest and its newest Snakemake
	rm -rf executor/build # else the wheel would hold modules that are no more
	cd executor && ../$(TOX_VENV)/bin/tox run-parallel --parallel-no-spinner

.PHONY: test-slurm
test-slurm: $(INSTALLED) ## As root: start a real SLURM on this machine and break it in every way that executor/tests/slurm lists
	$(BIN)/pytest $(SLURM_TESTS) -n 4 -m 'not alone' $(PYTEST_ARGS)
	$(BIN)/pytest $(SLURM_TESTS) -m 'alone and not whole' $(PYTEST_ARGS)

.PHONY: test-slurm-whole
test-slurm-whole: $(INSTALLED) ## As root: Fig. 7 at small scale on a real SLURM, seven trainings to a job, against the local table
	$(BIN)/pytest tests/slurm -m whole $(PYTEST_ARGS)

.PHONY: bench-slurm
bench-slurm: $(INSTALLED) ## As root: the SLURM executor beside snakemake-executor-plugin-slurm, 100 and 400 jobs
	$(BIN)/python benchmarks/slurm.py

.PHONY: doctor
doctor: $(INSTALLED) ## On a cluster's login node: what --profile slurm will meet there
	@$(BIN)/python -m snakemake_executor_plugin_submitit.doctor

.PHONY: lint
lint: $(INSTALLED) ## Every check but the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check $(SMK)
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## Rewrite Python and Snakemake files in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(SMK)

.PHONY: deviations
deviations: $(INSTALLED) ## Write docs/deviations.md from the comments of config/paper.yaml and from docs/deviations.yaml
	$(BIN)/python -m adaptive_smoothing.pipeline.commands.deviations

.PHONY: rulegraph
rulegraph: $(INSTALLED) ## Draw how the rules hang together: docs/rulegraph.svg (needs graphviz)
	@command -v dot >/dev/null || { echo "error: drawing the rule graph needs 'dot' of graphviz" >&2; exit 1; }
	$(BIN)/snakemake --rulegraph dot | dot -Tsvg >docs/rulegraph.svg.part
	mv docs/rulegraph.svg.part docs/rulegraph.svg

# To move a version: .venv/bin/pip install 'NAME==VERSION', make test, make constraints, then the pins of envs/*.yaml,
# which tests/unit/test_environments.py compares. Only a Linux machine knows the pins of torch's NVIDIA packages.
.PHONY: constraints
constraints: $(INSTALLED) ## Pin what the venv holds now: rewrite envs/constraints.txt
	@$(BIN)/pip freeze --exclude-editable --exclude setuptools --exclude wheel >$(VENV)/frozen.txt
	@grep -q '^nvidia-' $(VENV)/frozen.txt || { \
	    echo "error: this venv lacks torch's nvidia-* packages, whose pins would be lost; run it on Linux" >&2; exit 1; }
	{ sed -n '/^#/p' $(CONSTRAINTS); cat $(VENV)/frozen.txt; } >$(CONSTRAINTS).part
	mv $(CONSTRAINTS).part $(CONSTRAINTS)
	@touch $(INSTALLED)

.PHONY: clean-environment
clean-environment: ## Delete the venv and all caches; data, results and figures stay
	rm -rf $(VENV) $(TOX_VENV) executor/.tox executor/build .mypy_cache .pytest_cache .ruff_cache .hypothesis workflow/*.egg-info executor/src/*.egg-info
	find workflow executor tests -name __pycache__ -prune -exec rm -rf {} +

$(TOX_VENV)/.tox-$(TOX): export PATH := $(USER_PATH)
$(TOX_VENV)/.tox-$(TOX):
	$(PYTHON) -m venv --clear $(TOX_VENV)
	$(TOX_VENV)/bin/python -m pip install --quiet tox==$(TOX)
	@touch $@

$(INSTALLED): export PATH := $(USER_PATH)
$(INSTALLED): pyproject.toml executor/pyproject.toml $(CONSTRAINTS)
	@command -v $(PYTHON) >/dev/null || { \
	    echo "error: '$(PYTHON)' is not to be found; install Python 3.11 or newer, or say which: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: Python 3.11 or newer is needed, but '$(PYTHON)' is $$($(PYTHON) -V 2>&1); say which: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "error: '$(PYTHON)' lacks the module venv; install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable ./executor --editable '.[test]'
	@touch $@
