# One way to do each thing, on a laptop and in CI. `make` alone lists the targets; `smoothing --help` the questions.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PYTEST_ARGS ?=

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
	@echo "Variables: CORES=$(CORES) (how many jobs' cores at once), PYTHON=$(PYTHON) (3.11.4 or newer), PYTEST_ARGS"
	@echo "Questions about runs, costs and results: $(BIN)/smoothing --help"

.PHONY: small
small: $(INSTALLED) ## Set up where needed, then all nine figures at small scale, in paper_figures/small
	$(BIN)/snakemake small --cores $(CORES)

.PHONY: smoke
smoke: $(INSTALLED) ## A smoke test: the paper's own nine figures, a few steps a run on tiny data, in paper_figures/rehearsal
	@$(BIN)/smoothing smoke --cores $(CORES)

.PHONY: bench
bench: $(INSTALLED) ## Time what docs/benchmarks.md tells, each against what it stands beside
	$(BIN)/python benchmarks

.PHONY: bench-gpu
bench-gpu: $(INSTALLED) ## On a GPU: images/s, step times and IVON's share in them
	$(BIN)/python benchmarks/gpu.py

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

# These targets are now subcommands of `smoothing`. Each says so, and works for one more release, variables included.
SCALE ?= paper
why: NOW = smoothing why $(SCALE) $(FIG)
estimate: NOW = smoothing estimate $(SCALE) $(FIG)
status: NOW = smoothing status $(SCALE) $(FIG) $(if $(FOLLOW),--follow)
provenance: NOW = smoothing provenance $(FIG) $(if $(ALL),--all)
export: NOW = smoothing export $(SCALE)
figures-from: NOW = smoothing import $(ARCHIVE) $(if $(FORCE),--force)
report: NOW = smoothing report $(SCALE)
report-so-far: NOW = smoothing report $(SCALE) --so-far
doctor: NOW = smoothing doctor
deviations: NOW = smoothing deviations
rehearse: NOW = smoothing smoke --cores $(CORES)
plan: NOW = snakemake --dry-run
FORMER := why estimate status provenance export figures-from report report-so-far doctor deviations rehearse plan
.PHONY: $(FORMER)
$(FORMER): $(INSTALLED)
	@echo 'make $@ is now: $(strip $(NOW))' >&2
	@$(NOW)

$(INSTALLED): export PATH := $(USER_PATH)
$(INSTALLED): pyproject.toml executor/pyproject.toml $(CONSTRAINTS)
	@command -v $(PYTHON) >/dev/null || { \
	    echo "error: '$(PYTHON)' is not to be found; install Python 3.11.4 or newer, or say which: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { \
	    echo "error: Python 3.11.4 or newer is needed, but '$(PYTHON)' is $$($(PYTHON) -V 2>&1); say which: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "error: '$(PYTHON)' lacks the module venv; install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable ./executor --editable '.[test]'
	@touch $@
