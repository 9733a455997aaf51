# The front door. `make demo` and `make test` each work on a machine with nothing but Python >= 3.11.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
CORES ?= 2
PYTEST := $(BIN)/pytest
# Without stored bytecode every start of a job compiles torch and transformers anew.
unexport PYTHONDONTWRITEBYTECODE
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test test-slow test-faults test-cluster lint docs clean

help: ## show these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: .venv/installed ## make .venv and install everything into it

.venv/installed: pyproject.toml scripts/bootstrap
	scripts/bootstrap

demo: setup ## simulate, label, teach, distil and evaluate; print the table (10 minutes on two cores)
	scripts/demo $(CORES)

# Four lanes. What takes minutes is marked slow, so that the first stays fast; a test may try a fault and be fast.
test: setup ## unit, property and workflow tests (4 minutes on two cores)
	$(PYTEST) -n $(CORES) --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not cluster"

test-slow: setup ## other environments, a browser, the wheel, real searches (40 minutes); one at a time, some measure time
	$(PYTEST) -m "slow and not faults and not gpu and not cluster"

test-faults: setup ## kill, fill, cut and corrupt; then the same command again; a tally at the end
	$(PYTEST) -s -m faults

test-cluster: setup ## the demo through a real one-node SLURM
	$(PYTEST) -m cluster -s tests/cluster

lint: setup ## ruff, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

docs: setup ## build the documentation into site/, without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove what the targets made, but not .venv and not downloads
	rm -rf results .snakemake site build .pytest_cache .ruff_cache .hypothesis
