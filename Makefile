# `make study` sets everything up and runs the default study; `make test` sets up and runs all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: study test check format lint types imports bench faults gpu clean

study: $(READY)
	$(BIN)/autotune study start
	@echo 'These commands work in a shell after  . $(BIN)/activate'

# Two at once, a module each: many tests start processes of their own, so more workers than that only wait.
test: $(READY)
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadscope

check: format lint types imports test

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

# Hours of faults; `make test` has a slice of it. Shorter: make faults ARGS="--campaigns sqlite --kills 20 --seed 1"
faults: $(READY)
	$(BIN)/python -m tests.faults.campaigns $(ARGS)

# On a machine with a CUDA device alone: elsewhere the tests would all be skipped, and nobody would notice.
gpu: $(READY)
	$(BIN)/python -m benchmarks.gpu --check
	$(BIN)/pip install --quiet --constraint constraints.txt --group gpu
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m benchmarks.gpu

# torch comes first and alone: with it installed, no other package's wider range fetches another build.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
