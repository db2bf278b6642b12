# What can be done here, each with one command; `make help` lists it. Needs make and Python >= 3.11, nothing else.
# Everything runs from this folder in `.venv`, which every target sets up by itself when requirements.lock has changed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.setup-done
# Not tests: they misspell names on purpose, to see whether the right one is proposed.
SPELLED := $(wildcard runtime api tools bench docs scripts *.md) Makefile pyproject.toml

# The interpreter that .venv is made with: PYTHON=... if given, else the first that is new enough.
FIND_PYTHON = for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'make setup: no Python 3.11 or newer among: $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python).' >&2; \
	  echo '  Install one (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.11),' >&2; \
	  echo '  or name one: make setup PYTHON=/path/to/python3.11' >&2; \
	  exit 1; \
	fi

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- Use it

.PHONY: setup
setup: $(READY) ## Make .venv with the hash-pinned dependencies of requirements.lock
	@:

$(READY): requirements.lock
	@$(FIND_PYTHON); exec "$$python" scripts/setup.py

.PHONY: demo
demo: $(READY) ## Repair a table of flights with a real server, compare it with the truth; files in demo-output/<date>-<time>
	@$(RUN) -m api.demo $(ARGS)

.PHONY: run
run: $(READY) ## Start the server on port 8000 until Ctrl-C; options in ARGS="--port 9000"
	@exec $(RUN) -m api $(ARGS)

# ---- Change it

.PHONY: test
test: $(READY) ## Run all tests
	@echo '==> pytest: all tests'
	@$(RUN) -m pytest -q -n auto --maxprocesses=4 $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## Run the tests that start no server process
	@echo '==> pytest: all but the acceptance tests'
	@$(RUN) -m pytest -q -m 'not acceptance' $(ARGS)

.PHONY: acceptance
acceptance: $(READY) ## Run the tests against real server processes
	@echo '==> pytest: acceptance tests, against real server processes'
	@$(RUN) -m pytest -q tests/acceptance $(ARGS)

KILLS ?= 20
.PHONY: crash
crash: $(READY) ## Kill a loaded server KILLS=20 times and check what it leaves behind; SEED in ARGS="--seed S"
	@echo '==> tests.proof.crash: $(KILLS) kills'
	@$(RUN) -m tests.proof.crash --kills $(KILLS) $(ARGS)

CUTS ?= 200
.PHONY: powercut
powercut: $(READY) ## Cut the power of a simulated disk CUTS=200 times; SEED and more in ARGS="--seed S --processes 2"
	@echo '==> tests.proof.powercut: $(CUTS) cuts'
	@$(RUN) -m tests.proof.powercut --cuts $(CUTS) $(ARGS)

SEEDS ?= 1000
.PHONY: simulate
simulate: $(READY) ## Simulate SEEDS=1000 worlds of engines, clients and faults; more in ARGS="--first S --processes 2"
	@echo '==> tests.proof.simulation: $(SEEDS) seeds'
	@$(RUN) -m tests.proof.simulation --seeds $(SEEDS) $(ARGS)

.PHONY: check
check: lint format types imports spelling ## Run every check that needs no test

.PHONY: lint format types imports spelling
lint: $(READY)
	@echo '==> ruff check: likely mistakes and style'
	@$(VENV)/bin/ruff check --quiet .
format: $(READY)
	@echo '==> ruff format --check: layout'
	@$(VENV)/bin/ruff format --check . || { echo 'make fmt puts it right'; exit 1; }
types: $(READY)
	@echo '==> mypy: types'
	@$(RUN) -m mypy
imports: $(READY)
	@echo '==> lint-imports: which package may know which'
	@$(VENV)/bin/lint-imports
spelling: $(READY)
	@echo '==> codespell: spelling'
	@$(VENV)/bin/codespell --skip '*.csv,*.json,__pycache__' $(SPELLED)

.PHONY: fmt
fmt: $(READY) ## Put layout and simple mistakes right
	@echo '==> ruff: sorting imports, mending what is safe, laying out'
	@$(VENV)/bin/ruff check --quiet --fix . ; $(VENV)/bin/ruff format .

.PHONY: lock
lock: ## Resolve the dependencies in pyproject.toml anew and write requirements.lock
	@echo '==> uv: resolving the newest versions that fit'
	@$(FIND_PYTHON); "$$python" scripts/setup.py --uv
	@PATH="$$PATH:$(CURDIR)/.uv/bin"; export PATH UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1; \
	  uv lock --quiet --upgrade && \
	  uv export --quiet --frozen --no-emit-project --all-groups --format requirements-txt -o requirements.lock

BENCHES := in_process http_load monitors

.PHONY: bench bench-full
bench: QUICK := --quick
bench: bench-full ## Measure speed, each bench in a minute at most; bench/README.md says what
bench-full: $(READY) ## Measure speed thoroughly
	@for bench in $(BENCHES); do \
	  echo "==> bench.$$bench $(QUICK)"; \
	  $(RUN) -m bench.$$bench $(QUICK) || exit 1; \
	done

DQ_SEEDS ?= 3
.PHONY: dq-gate
dq-gate: $(READY) ## Measure how well the data quality tools find and repair known errors; ARGS="--table planes"
	@echo '==> bench.data_quality.gate: $(DQ_SEEDS) seeds'
	@$(RUN) -m bench.data_quality.gate --seeds $(DQ_SEEDS) $(ARGS)

.PHONY: clean
clean: ## Remove caches, builds and demo-output; keeps .venv and data
	@echo '==> removing caches, build, dist and demo-output'
	@rm -rf build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find runtime api tools tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
