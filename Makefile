# `make` lists what there is to do. Each target sets up .venv as far as it needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The package, for a user; and with the tools of its developers and of the tests.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

.PHONY: help study test check format lint types imports bench faults gpu clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):[^#]*## /make \1\t/p' Makefile | expand -t 16

study: $(READY) ## run the default study: about three minutes on two cores, after a set-up that downloads torch
	$(BIN)/autotune study start
	@echo 'These commands work in a shell after  . $(BIN)/activate'

# Three at once, a module each: on two cores one waits for a process of its own or for a disk at most moments.
# In the order of the folders: modules of few tests, which take longest, came last and alone. With bytecode, whatever the
# shell wants: they start hundreds of programs, each of which would compile the package for a twentieth of its time.
test: $(READY_DEV) ## run all tests; those of web pages need Chromium, and are skipped without it
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=3 --dist=loadscope --no-loadscope-reorder

check: format lint types imports test ## what CI runs: the next four, then all tests

format: $(READY_DEV) ## ruff: is the code formatted?
	$(BIN)/ruff format --check .

lint: $(READY_DEV) ## ruff: its rules
	$(BIN)/ruff check .

types: $(READY_DEV) ## mypy
	$(BIN)/mypy

imports: $(READY_DEV) ## import-linter: do imports point one way?
	$(BIN)/lint-imports

bench: $(READY_DEV) ## run all benchmarks that need no GPU: nearly three hours
	$(BIN)/python -m benchmarks

# `make test` has a slice of it. Shorter: make faults ARGS="--campaigns sqlite --kills 20 --seed 1"
faults: $(READY_DEV) ## inject faults for hours; ARGS="--campaigns NAME --kills N --seed S" for some of them
	$(BIN)/python -m tests.faults.campaigns $(ARGS)

# On a machine with a CUDA device alone: elsewhere the tests would all be skipped, and nobody would notice.
gpu: $(READY_DEV) ## run the tests and benchmarks that need a CUDA device
	$(BIN)/python -m benchmarks.gpu --check
	$(BIN)/pip install --quiet --constraint constraints.txt --group gpu
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m benchmarks.gpu

# torch comes first and alone: with it installed, no other package's wider range fetches another build.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $(READY)

$(READY_DEV): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --group dev
	touch $(READY_DEV)

clean: ## remove .venv, and what builds and checks left
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
