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

.PHONY: help setup demo test test-cluster test-faults lint docs clean

help: ## show these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: .venv/installed ## make .venv and install everything into it

.venv/installed: pyproject.toml scripts/bootstrap
	scripts/bootstrap

demo: setup ## simulate, label, teach, distil and evaluate; print the table (10 minutes on two cores)
	scripts/demo $(CORES)

test: setup ## unit, property and workflow tests
	$(PYTEST) -n $(CORES) --dist loadgroup -m "not slow and not gpu and not cluster and not faults"

test-cluster: setup ## the demo through a real one-node SLURM
	$(PYTEST) -m cluster -s tests/cluster

# Beside the matrix, the tests that try a fault on one command; the tally at the end counts them all.
FAULTS := tests/faults tests/reference/test_download.py tests/reference/test_archive.py tests/teacher/test_fetching.py \
	tests/teacher/test_loading.py tests/ground/test_shards.py tests/ground/test_files.py tests/workflow/test_downloads.py \
	tests/teacher/test_pretraining.py::test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint \
	tests/student/test_dna_training.py::test_training_stops_at_a_loss_that_is_not_a_number \
	tests/student/test_transcript_matching.py::test_a_diverging_run_stops_and_fails_unless_it_is_wanted \
	tests/student/test_corrector.py::test_a_loss_that_is_not_a_number_stops_the_training

test-faults: setup ## kill, fill, cut and corrupt; then the same command again; a tally at the end
	$(PYTEST) -s $(FAULTS)

lint: setup ## ruff, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

docs: setup ## build the documentation into site/, without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove what the targets made, but not .venv and not downloads
	rm -rf results .snakemake site build .pytest_cache .ruff_cache .hypothesis
