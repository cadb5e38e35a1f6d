PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lint bench study docs

$(VENV)/installed: setup.cfg pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/gelens demo --out runs/demo --resume

# each test process computes on one thread: two processes on two cores would wait for each other's threads
TESTS := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(TESTS)

test-all: $(VENV)/installed
	$(TESTS) -m slow

lint: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

docs: $(VENV)/installed
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

BENCHMARKS := $(filter-out __init__ table,$(basename $(notdir $(wildcard benchmarks/*.py))))

bench: $(VENV)/installed
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

# CIFAR-10; it measures the study's finished trainings, goes on where it was stopped, and takes hours
DATA ?= cifar10

study: $(VENV)/installed
	$(BIN)/python -m studies.measure cifar10 --data $(DATA)
