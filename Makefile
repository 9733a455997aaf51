# `make demo` and `make test` each work on a machine with nothing but Python >= 3.11.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
CORES ?= 2
PYTEST := $(BIN)/pytest
# Without stored bytecode every start of a job compiles torch and transformers again.
unexport PYTHONDONTWRITEBYTECODE
export OMP_NUM_THREADS ?= 1

.PHONY: help setup lock demo test test-slow test-faults test-cluster test-lowest test-newest lint docs wheel clean

help: ## show these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: .venv/installed ## make .venv and install everything into it

.venv/installed: pyproject.toml requirements.lock scripts/bootstrap
	scripts/bootstrap

# A version that the lock file has stays where the ranges still allow it; `make lock UPGRADE=--upgrade` takes the newest.
lock: setup ## write requirements.lock again from the ranges of pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	    --no-emit-index-url --no-emit-find-links $(UPGRADE) pyproject.toml --output-file requirements.lock

demo: setup ## simulate, label, teach, distil and evaluate; print the table (4 minutes on two cores)
	scripts/demo $(CORES)

# Four lanes. What takes minutes is marked slow, so that the first stays fast; a test may try a fault and be fast.
test: setup ## unit, property and workflow tests (5 minutes on two cores)
	$(PYTEST) -n $(CORES) --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not cluster"

test-slow: setup ## other environments, a browser, the wheel, real searches (40 minutes); what measures time runs alone
	$(PYTEST) -n $(CORES) --dist loadfile --no-loadscope-reorder --durations 15 \
	    -m "slow and not timed and not faults and not gpu and not cluster"
	$(PYTEST) -m "timed and not gpu"

test-faults: setup ## kill, fill, cut and corrupt; then the same command again; a tally at the end
	$(PYTEST) -s -m faults

test-cluster: setup ## the demo through a real one-node SLURM
	$(PYTEST) -m cluster -s tests/cluster

test-lowest: setup ## fast tests with the lowest versions that pyproject.toml allows, in a separate environment
	scripts/test_versions lowest-direct -n $(CORES)

test-newest: setup ## fast tests with the newest versions that pyproject.toml allows, in a separate environment
	scripts/test_versions highest -n $(CORES)

lint: setup ## ruff, snakefmt, mypy, snakemake --lint, plain English
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	$(BIN)/python scripts/check_english

docs: setup ## build the documentation into site/, without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: setup ## build the wheel into dist/
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python

clean: ## remove what the targets made, but not .venv and not downloads
	rm -rf results .snakemake site build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
