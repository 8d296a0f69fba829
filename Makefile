# Each verb sets up what it needs: `make demo` and `make test` work in a fresh clone with Python 3.11 or later.
# PYTHON=python3.12   the Python that makes .venv
# WORKERS=5           test processes, which mostly wait (0: none, for a debugger); ARGS="-k name": more arguments for pytest
# EXPLORE=1           property tests with new examples, where they have the same ones in each run otherwise
# COMPILED=1          `make test`, `faults`, `hostile`, `attack` with the hot path compiled, as wheels have it; needs a C compiler
# QUICK=1             `make bench` only shows that it works, and installs only peers that Debian has; ONLY=name: one workload
#                     `make realapps` runs the programs that need no browser, for CI; ARGS=--write writes the page
#                     `make attack`, `make conformance` and `make mcp` run their short forms
# DOOR=1              `make hostile` has a door in front of the app, and each request comes with what passes it
#                     `make cluster` has light apps only, one bus and four faults
# DIST=folder         `make release-check` looks at what was built elsewhere
# ONCE=1              `make demo` checks itself and ends, where it would otherwise stay up

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILED_VENV := build/compiled-venv
COMPILED_READY := $(COMPILED_VENV)/.ready
REALAPPS_VENV := build/realapps$(if $(QUICK),-quick)-venv
REALAPPS_READY := $(REALAPPS_VENV)/.ready
PAGES_VENV := build/pages-venv
PAGES_READY := $(PAGES_VENV)/.ready
OIDC_VENV := build/oidc-venv
OIDC_READY := $(OIDC_VENV)/.ready
MCP_VENV := build/mcp-venv
MCP_READY := $(MCP_VENV)/.ready
API_VENV := build/api-venv
API_READY := $(API_VENV)/.ready
AUDIT_VENV := build/audit-venv
AUDIT_READY := $(AUDIT_VENV)/.ready
RELEASE_VENV := build/release-venv
RELEASE_READY := $(RELEASE_VENV)/.ready
SCAN_VENV := build/scan-venv
SCAN_READY := $(SCAN_VENV)/.ready
# What tests run in, and with.
TESTED := $(if $(COMPILED),$(COMPILED_READY),$(READY))
PYTEST := $(if $(COMPILED),$(COMPILED_VENV)/bin/python -m pytest --compiled,$(BIN)/python -m pytest)
WORKERS ?= 5
ARGS ?=
SECONDS ?= 60
SOURCES := $(shell find src edge/src -type f -not -path '*/__pycache__/*')

# Tests start hundreds of processes: without cached bytecode each of them compiles every module, 0.3 s.
unexport PYTHONDONTWRITEBYTECODE

# Tests of what wheels have as plain Python, too, or of frameworks: `make test COMPILED=1` leaves them out.
NEVER_COMPILED := $(addprefix edge/tests/,alerts api bus certificates cluster commands dashboard guards/test_hide_offline.py inspection login \
	metrics oauth observers/test_log_handler.py operations parent questions settings storage \
	$(addprefix history/test_,book.py file.py) \
	$(addprefix home/test_,certificates.py folder.py issuance.py) \
	$(addprefix pages/test_,brand.py colour.py edge.py template.py words.py) \
	$(addprefix policy/test_,doors.py e2e.py frameworks.py hold.py routing.py) \
	$(addprefix test_,accounts.py channel.py cli.py client.py control.py descriptors.py files.py issuance.py known_edges.py \
	limits_page.py maintenance.py monitor.py proofs.py readiness.py running.py shown.py supervision.py)) \
	$(addprefix examples/,fastapi_app django_app) $(addprefix tests/,asgi/test_runner.py blocks cluster commands contrib typing \
	$(addprefix e2e/test_,behind_a_proxy.py django.py edge_restart.py edges.py examples.py framework_commands.py frameworks.py litestar.py saved_test.py servers.py \
	store.py tokens.py two_edges.py workers.py) \
	faults/test_generations.py faults/test_restart.py \
	$(addprefix inspector/test_,curl.py diff.py edits.py har.py har_reader.py literals.py signatures.py testcase.py) \
	$(addprefix test_,benchmarks.py build_site.py demo.py dependencies.py deploy.py docs.py env_file.py group.py logs.py mirror.py \
	names.py outermost.py pins.py proxy.py realapps.py release_files.py sharing.py simulation.py status.py supervisor.py testing.py))

# A third of the time of all tests: those with the most processes. `make test COMPILED=1` has those that reach compiled code.
SYSTEM := examples edge/tests/parent tests/faults $(addprefix tests/test_,demo.py outermost.py supervisor.py) \
	$(addprefix tests/e2e/test_,django.py edge_restart.py edges.py examples.py framework_commands.py frameworks.py litestar.py servers.py \
	store.py two_edges.py workers.py)
NEEDS_MORE := $(addprefix edge/tests/,attack acme monitoring) examples/mcp_server \
	$(addprefix tests/,blocks/console mcp_clients oidc openapi pages)
SHORT = -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not faults_long"
IGNORED := $(NEEDS_MORE) $(if $(COMPILED),$(NEVER_COMPILED),$(SYSTEM))

.DEFAULT_GOAL := help
.PHONY: help setup demo test system blocks hour compiled faults hostile attack cluster acme metrics autobahn realapps pages oidc mcp api differential conformance fuzz scan bench containers release-check lock audit check fmt lint types layers docs site fix clean

help:  ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(READY)  ## make .venv with everything for development, tests and examples
demo: $(READY)  ## an edge, an app behind it and a visitor, on this machine
	$(BIN)/python scripts/demo.py $(if $(ONCE),--once)
test: $(TESTED)  ## the tests of both distributions; COMPILED=1
	@scripts/postgresql.sh || echo "test: without the tests on PostgreSQL" >&2
	$(PYTEST) $(SHORT) $(addprefix --ignore=,$(IGNORED)) $(ARGS)
system: $(READY)  ## the tests with the most processes: short faults, workers, several edges, servers and frameworks, the demo, the examples
	@scripts/postgresql.sh || echo "system: without the tests on PostgreSQL" >&2
	$(BIN)/python -m pytest $(SYSTEM) $(SHORT) $(addprefix --ignore=,$(NEEDS_MORE)) $(ARGS)
blocks: $(READY)  ## every code block of the pages: executed, read or typed, and compared; those that are not are listed
	BLOCKS_ALL=1 $(BIN)/python -m pytest tests/blocks -n $(WORKERS) -rs $(ARGS)
hour: $(READY)  ## an empty Debian, and the commands of docs/tutorial/first-hour.md; needs root, mmdebstrap and pebble
	@scripts/pebble.sh
	$(BIN)/python scripts/first_hour.py
compiled: $(COMPILED_READY)  ## make build/compiled-venv with both wheels, the hot path compiled
faults: $(TESTED)  ## the whole fault suite: cuts, kills, restarts, a network that goes away; and a GiB each way
	$(PYTEST) tests/faults tests/e2e/test_streaming.py $(ARGS)
hostile: $(TESTED)  ## the hostile-input suite with its floods
	HOSTILE_LONG=1 HOSTILE_DOOR=$(DOOR) $(PYTEST) edge/tests/hostile -n $(WORKERS) --dist loadfile $(ARGS)
attack: $(TESTED)  ## one address or one token against the others, and all attacks at once; QUICK=1, COMPILED=1
	$(if $(QUICK),,ATTACK_LONG=1) $(PYTEST) edge/tests/attack $(ARGS)
cluster: $(READY)  ## several edges on a network of their own, faults, and what visitors saw; QUICK=1, ARGS="--bus nats"
	@scripts/postgresql.sh
	$(BIN)/python -m tests.cluster $(if $(QUICK),--quick) $(ARGS)
acme: $(TESTED)  ## certificates from a real ACME CA on this machine, pebble; builds it with Go; OLD=1: Debian's 2.4
	@scripts/pebble.sh $(if $(OLD),debian)
	ACME_REQUIRED=1 $(if $(OLD),PEBBLE_OLD=1) $(PYTEST) edge/tests/acme -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)
metrics: $(TESTED)  ## a real Prometheus scrapes an edge; promtool looks at metrics, alerts and their tests
	@scripts/prometheus.sh
	PROMETHEUS_REQUIRED=1 $(PYTEST) edge/tests/monitoring $(ARGS)
autobahn: $(READY)  ## the public WebSocket cases against a real edge
	$(BIN)/python scripts/autobahn.py $(ARGS)
realapps: $(REALAPPS_READY)  ## real programs through a tunnel and without one must agree; QUICK=1, ONLY=name
	$(REALAPPS_VENV)/bin/python -m tests.realapps $(if $(QUICK),--quick) $(foreach name,$(ONLY),--only $(name)) $(ARGS)
pages: $(PAGES_READY)  ## the edge's own pages in Chromium: readable, accessible, back by themselves; pictures in build/pages
	$(PAGES_VENV)/bin/python -m pytest tests/pages -n 2 --dist worksteal $(ARGS)
oidc: $(OIDC_READY)  ## logins with two real providers in Chromium; OIDC_REQUIRED=1: fail where Node or Chromium is missing
	$(OIDC_VENV)/bin/python -m pytest tests/oidc -rs $(ARGS)
mcp: $(MCP_READY)  ## MCP servers and clients of the SDK and of FastMCP through an edge, and the example; QUICK=1: the SDK's
	cd examples/mcp_server && ../../$(MCP_VENV)/bin/mypy .
	$(MCP_VENV)/bin/python -m pytest tests/mcp_clients examples/mcp_server $(if $(QUICK),-k "not fast") $(ARGS)
api: $(API_READY)  ## the edge's API against its own document, by schemathesis; EXAMPLES=8
	API_EXAMPLES=$(or $(EXAMPLES),8) $(API_VENV)/bin/python -m pytest tests/openapi $(ARGS)
differential: $(READY)  ## made-up requests and apps, through a tunnel and on uvicorn; SECONDS=60
	$(BIN)/python -m tests.differential --seconds $(SECONDS) $(ARGS)
conformance: $(READY)  ## public test suites of frameworks and servers, through an edge; QUICK=1, ONLY=name
	$(BIN)/python -m tests.conformance $(if $(QUICK),--quick) $(foreach name,$(ONLY),--only $(name)) $(if $(ARGS),-- $(ARGS))
fuzz: $(READY)  ## coverage-guided fuzzing of what strangers send; SECONDS=60, ONLY=name
	$(BIN)/python scripts/fuzz.py --seconds $(SECONDS) $(if $(ONLY),--only $(ONLY))
scan: $(READY) $(SCAN_READY)  ## sslyze, and testssl.sh where it is installed, against a real edge; QUICK=1 without the latter
	$(BIN)/python scripts/scan.py --sslyze $(SCAN_VENV)/bin/python $(if $(QUICK),--quick) $(ARGS)
bench: $(COMPILED_READY)  ## what users install, beside uvicorn, nginx and other tunnels; QUICK=1, ONLY=name
	@benchmarks/setup.sh $(if $(QUICK),--quick)
	$(COMPILED_VENV)/bin/python -m benchmarks $(if $(QUICK),--quick) $(foreach name,$(ONLY),--only $(name)) $(ARGS)
containers: $(READY)  ## the images of deploy/, with a visitor's request through them; QUICK=1: plain Python; BASE=image
	@scripts/containers.sh $(BASE) && $(BIN)/python scripts/containers.py $(if $(QUICK),--plain) $(if $(BASE),--base $(BASE)); \
		status=$$?; [ $$status = 77 ] || exit $$status
release-check: $(READY) $(RELEASE_READY) $(if $(DIST),,$(COMPILED_READY))  ## what a release would hold, installed and at work with each Python; QUICK=1: one, DIST=folder
	$(if $(DIST),,scripts/build_wheels.sh build/dist --plain)
	$(BIN)/python -m scripts.release_check $(or $(DIST),build/dist build/wheels) --tools $(RELEASE_VENV)/bin \
		$(if $(QUICK),--quick) $(if $(DIST)$(QUICK),,--compile)
lock: $(READY) $(AUDIT_READY)  ## write locks/ anew: the hashes of what a release is installed and built with
	$(BIN)/python scripts/dependencies.py lock --tools $(AUDIT_VENV)/bin
audit: $(READY) $(AUDIT_READY)  ## is each dependency pinned, hashed, not withdrawn and without known holes? needs network
	$(BIN)/python scripts/dependencies.py audit --tools $(AUDIT_VENV)/bin
check: fmt lint types layers docs  ## everything that looks without running the app

fmt: $(READY)  ## is the code formatted?
	$(BIN)/ruff format --check .
lint: $(READY)  ## ruff's rules, one version everywhere, dependencies pinned and bounded
	$(BIN)/ruff check .
	$(BIN)/python scripts/check_versions.py
	$(BIN)/python scripts/dependencies.py check
types: $(READY)  ## mypy, strict
	$(BIN)/mypy
	cd examples/fastapi_app && ../../$(BIN)/mypy .
	cd examples/django_app && ../../$(BIN)/mypy .
layers: $(READY)  ## who may import whom
	$(BIN)/lint-imports --cache-dir build/importlinter
docs: $(READY)  ## do the pages say what the code does? builds them as a site in build/site, where every link has to lead somewhere
	$(BIN)/python scripts/check_docs.py
	$(BIN)/python scripts/build_site.py
site: $(READY)  ## build the site, and show it on this machine
	$(BIN)/python scripts/build_site.py --serve

fix: $(READY)  ## format the code and repair what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
clean:  ## remove .venv, builds and caches
	rm -rf $(VENV) build

$(READY): scripts/setup.sh pyproject.toml edge/pyproject.toml requirements-dev.txt constraints.txt
	@scripts/setup.sh $(VENV) $(PYTHON)
	@touch $@
$(COMPILED_READY): $(READY) $(SOURCES) scripts/build_wheels.sh scripts/compiled.sh benchmarks/requirements.txt
	@scripts/compiled.sh $(COMPILED_VENV)
	@touch $@
$(AUDIT_READY): scripts/audit-requirements.txt
	@$(PYTHON) -m venv --clear $(AUDIT_VENV)
	@$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
$(RELEASE_READY): scripts/release-requirements.txt
	@$(PYTHON) -m venv --clear $(RELEASE_VENV)
	@$(RELEASE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@if command -v go >/dev/null; then \
		GOBIN=$(CURDIR)/$(RELEASE_VENV)/bin go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 || \
		echo "release-check: actionlint could not be built"; fi
	@touch $@
$(SCAN_READY): scripts/scan-requirements.txt
	@$(PYTHON) -m venv --clear $(SCAN_VENV)
	@$(SCAN_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
$(PAGES_READY): tests/pages/setup.sh tests/pages/requirements.txt tests/pages/node.json edge/pyproject.toml
	@tests/pages/setup.sh $(PAGES_VENV) $(PYTHON)
	@touch $@
$(OIDC_READY): tests/oidc/setup.sh tests/oidc/requirements.txt tests/oidc/node.json edge/pyproject.toml
	@tests/oidc/setup.sh $(OIDC_VENV) $(PYTHON)
	@touch $@
$(MCP_READY): tests/mcp_clients/setup.sh tests/mcp_clients/requirements.txt edge/pyproject.toml
	@tests/mcp_clients/setup.sh $(MCP_VENV) $(PYTHON)
	@touch $@
$(API_READY): tests/openapi/setup.sh tests/openapi/requirements.txt edge/pyproject.toml
	@tests/openapi/setup.sh $(API_VENV) $(PYTHON)
	@touch $@
$(REALAPPS_READY): tests/realapps/setup.sh tests/realapps/requirements.txt tests/realapps/quick.txt tests/realapps/node.json
	@tests/realapps/setup.sh $(if $(QUICK),--quick) $(REALAPPS_VENV) $(PYTHON)
	@touch $@
