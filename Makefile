# Each verb sets up what it needs: `make demo` and `make test` work in a fresh clone with Python 3.11 or later.
# PYTHON=python3.12   the Python that makes .venv
# WORKERS=2           test processes (0: none, for a debugger); ARGS="-k name": more arguments for pytest
# ONCE=1              `make demo` checks itself and ends, where it would otherwise stay up

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
ARGS ?=
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults hostile autobahn fuzz check fmt lint types layers docs fix clean

help:  ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(READY)  ## make .venv with everything for development, tests and examples
demo: $(READY)  ## an edge, an app behind it and a visitor, on this machine
	$(BIN)/python scripts/demo.py $(if $(ONCE),--once)
test: $(READY)  ## all tests of both distributions and the examples
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not faults_long" $(ARGS)
faults: $(READY)  ## the whole fault suite: cuts, kills, restarts, a network that goes away
	$(BIN)/python -m pytest tests/faults $(ARGS)
hostile: $(READY)  ## the hostile-input suite with its floods
	HOSTILE_LONG=1 $(BIN)/python -m pytest edge/tests/hostile -n $(WORKERS) --dist loadfile $(ARGS)
autobahn: $(READY)  ## the public WebSocket cases against a real edge
	$(BIN)/python scripts/autobahn.py $(ARGS)
fuzz: $(READY)  ## coverage-guided fuzzing of what strangers send; SECONDS=60, ONLY=name
	$(BIN)/python scripts/fuzz.py --seconds $(SECONDS) $(if $(ONLY),--only $(ONLY))
check: fmt lint types layers docs  ## everything that looks without running the app

fmt: $(READY)  ## is the code formatted?
	$(BIN)/ruff format --check .
lint: $(READY)  ## ruff's rules, and one version everywhere
	$(BIN)/ruff check .
	$(BIN)/python scripts/check_versions.py
types: $(READY)  ## mypy, strict
	$(BIN)/mypy
	cd examples/fastapi_app && ../../$(BIN)/mypy .
	cd examples/django_app && ../../$(BIN)/mypy .
layers: $(READY)  ## who may import whom
	$(BIN)/lint-imports --cache-dir build/importlinter
docs: $(READY)  ## do the pages say what the code does?
	$(BIN)/python scripts/check_docs.py

fix: $(READY)  ## format the code and repair what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
clean:  ## remove .venv, builds and caches
	rm -rf $(VENV) build

$(READY): scripts/setup.sh pyproject.toml edge/pyproject.toml requirements-dev.txt constraints.txt
	@scripts/setup.sh $(VENV) $(PYTHON)
	@touch $@
