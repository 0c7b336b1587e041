# make demo · make test · make check · make bench · make soak        (make setup is part of each)

PYTHON ?= python3.11
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := $(VENV)/.stamps

.PHONY: help setup setup-dev system-packages demo test check bench bench-peers soak clean
.DEFAULT_GOAL := help

help:
	@echo "make demo  [SEED=7]     set up and run the whole loop on this machine"
	@echo "make test  [ARGS=...]   set up and run the tests, with coverage"
	@echo "make check              ruff, mypy and the import contracts"
	@echo "make bench [ONLY=name]  measure against benchmarks/limits.toml"
	@echo "make bench-peers        the drift detectors that bench_drift_peers compares with, in $(PEERS)"
	@echo "make soak               the long proofs"
	@echo "make setup              only the virtual environment, in $(VENV)"
	@echo "make clean              remove what these made, but not $(VENV)"

$(STAMPS)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Error: $(PYTHON) was not found (Python 3.11 is needed). Fix: install Python 3.11 or name yours: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { echo "Error: $(PYTHON) cannot make virtual environments. Fix: sudo apt-get install python3.11-venv" >&2; exit 2; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/main: $(STAMPS)/created pyproject.toml constraints.txt
	$(PIP) install --quiet -e '.[train,agent,demo]' -c constraints.txt
	@touch $@

$(STAMPS)/dev: $(STAMPS)/main
	$(PIP) install --quiet -e '.[train,qat,search,dask,agent,demo,dev]' -c constraints.txt
	@touch $@

setup: $(STAMPS)/main

setup-dev: $(STAMPS)/dev

system-packages:
	@.ci/system-packages

demo: setup
	$(BIN)/edgeops demo --devices 20 --workspace demo $(if $(SEED),--seed $(SEED))

test: setup-dev system-packages
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --cov --cov-report=term $(ARGS)

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: setup
	$(BIN)/python benchmarks/run.py $(if $(ONLY),--only $(ONLY))

# an environment of its own, made once; NannyML may be missing: the benchmark says so
$(PEERS)/.complete: benchmarks/peers/drift_requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	-$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet 'nannyml>=0.13,<0.14' -r $<
	@touch $@

bench-peers: $(PEERS)/.complete

# pytest answers 5 when no test carries the mark
soak: setup-dev system-packages
	$(BIN)/python -m pytest -m soak --timeout 7200 $(ARGS) || [ $$? -eq 5 ]

clean:
	rm -rf build dist demo benchmarks/results.json htmlcov coverage.xml .coverage .coverage.* \
	    .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
