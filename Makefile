PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lowest lint bench study docs

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

# the lowest versions that setup.cfg allows, in an environment of their own, which downloads gigabytes
LOWEST := build/lowest
LOWEST_TESTS := tests/commands/test_command_line.py tests/commands/test_trying.py tests/networks/test_networks.py \
	tests/recording/test_store.py tests/results tests/statistics/test_selectivity.py tests/training/test_training.py

lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) -m tests.lowest > $(LOWEST)/versions.txt
	$(LOWEST)/bin/pip install --quiet --upgrade pip  # older ones try versions of dependencies for hours
	$(LOWEST)/bin/pip install --quiet --constraint $(LOWEST)/versions.txt --editable '.[report,train,digits]' \
		'pytest>=8' 'hypothesis>=6.100'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/pytest $(LOWEST_TESTS)

lint: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

docs: $(VENV)/installed
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

# half an hour; what it writes is docs/measured.md
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

# CIFAR-10; it measures the study's finished trainings, goes on where it was stopped, and takes hours
DATA ?= cifar10

study: $(VENV)/installed
	$(BIN)/python -m studies.measure cifar10 --data $(DATA)
