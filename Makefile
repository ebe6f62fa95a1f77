# The only task file. `make` lists the targets; each of them sets up what it needs first and skips what is up to date.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# The first interpreter that is new enough; `make PYTHON=/path/to/python` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
CARGO := cargo
PEDANTIC := --locked --features python,abi3
SOURCES := python tests benches
# Cargo and PyO3 ask for the interpreter and the environment of the project, never for those of the shell.
export PYO3_PYTHON := $(CURDIR)/$(PY)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PYTHONPATH :=
# Compiled test modules are kept: each test process would compile them all again.
export PYTHONDONTWRITEBYTECODE :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

CONNECTORS ?= 200
DURATION ?=
N ?= 2000
# One more test process than cores, at most eight: many tests wait for timers and sockets.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores < 7 ? cores + 1 : 8)))
# How long the fuzz targets are fed: a glance here, longer where CI is set.
FUZZ_SECONDS ?= $(if $(CI),10,3)

.PHONY: help setup build lock demo test check bench bench-quick icount oracle torture allocation-days docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.stamp-venv:
	@[ -n "$(PYTHON)" ] || { echo "make: Python 3.11 or newer is needed (apt install python3 python3-venv)" >&2; exit 1; }
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { echo "make: the venv module is needed (apt install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/.stamp-locked: requirements.lock $(VENV)/.stamp-venv
	@echo "installing the locked dependencies"
	@$(PY) -m pip install --quiet --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

setup: $(VENV)/.stamp-locked ## create .venv and install the locked dependencies, checked by hash
	@command -v $(CARGO) >/dev/null || { echo "make: a Rust toolchain is needed (https://rustup.rs)" >&2; exit 1; }

# Whether the extension is current is decided by the digest inside it, not by time stamps.
build: setup ## build the Rust extension (release) where its sources have changed
	@PYTHONPATH=python $(PY) -m ocpphub.checkout && [ -x $(BIN)/ocpphub ] || { \
		echo "building the extension (release)"; \
		PIP_QUIET=1 $(BIN)/maturin develop --release --locked --quiet; \
		PYTHONPATH=python $(PY) -m ocpphub.checkout; }

demo: build ## the narrated tour: embedded CSMS, a hub of 200 connectors, all seven commands (DURATION=seconds to stay)
	@$(BIN)/ocpphub demo --connectors $(CONNECTORS) $(if $(DURATION),--duration $(DURATION))

test: build ## every test: unit, core, rpc, scenarios, end to end, oracle, and the Rust ones
	$(CARGO) test --locked --quiet
	OCPPHUB_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked --quiet --test fuzz_smoke
	@# Whole lives, days and sweeps want nothing but a processor: they take what the others, who wait a lot, leave of it.
	out=$$(mktemp); setsid nice -n 19 $(PY) -m pytest -q -m patient tests/lives tests/allocation tests/e2e/test_kill_points.py >$$out 2>&1 & patient=$$!; \
	trap 'kill -- -$$patient 2>/dev/null || true; cat $$out; rm -f $$out' EXIT; \
	$(PY) -m pytest -q -n $(WORKERS) --dist worksteal -m "not alone and not patient"; \
	wait $$patient
	$(PY) -m pytest -q -m alone $$(grep -rl --include='test_*.py' 'mark\.alone' tests)

check: build ## format, lint, types, stub, clippy, licences, layout, requirement matrix; changes nothing
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/mypy
	MYPYPATH=python $(PY) -m mypy.stubtest ocpphub._native --concise
	$(CARGO) fmt --check
	$(CARGO) clippy $(PEDANTIC) --lib --tests --quiet -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check; \
	else echo "cargo-deny is not installed: licences and advisories were not checked"; fi
	$(PY) -m pytest -q tests/test_layout.py
	$(PY) tests/requirements_matrix.py --check
	PYTHONPATH=python:. $(PY) tests/reference.py --check

bench: build ## every benchmark table from one run, written to benches/RESULTS.md and RESULTS.json
	$(PY) -m benches.run

bench-quick: build ## the benchmarks' answers and goal ratios in a few rounds (CI)
	$(PY) -m benches.quick

icount: build ## instruction counts of the pure paths under valgrind, against the committed baseline
	@command -v valgrind >/dev/null || { echo "make: valgrind is needed (apt install valgrind)" >&2; exit 1; }
	$(PY) -m benches.icount

oracle: build ## compare frames and schedules with independent references on N random cases (N=2000)
	ORACLE_EXAMPLES=$(N) OCPPHUB_ORACLE_CASES=$(N) $(PY) -m pytest -q tests/oracle

torture: build ## kill -9 a hub under load N times and check that nothing acknowledged is lost (N=2000)
	PYTHONPATH=python:. $(PY) -m tests.torture.kill $(N)

allocation-days: build ## judge every clause of the permits at every event of N virtual days (N=2000)
	$(PY) -m tests.allocation.runner --seeds 1-$(N)

docs: build ## regenerate docs/requirements.md and the reference pages that come from tables
	$(PY) tests/requirements_matrix.py
	PYTHONPATH=python:. $(PY) tests/reference.py

lock: $(VENV)/.stamp-locked ## resolve pyproject.toml again into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group check --group bench --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet \
		--upgrade -o requirements.lock
	@! grep -nE 'https?:|file:| /' requirements.lock

clean: ## remove what was built, the environment too
	rm -rf $(VENV) target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find python tests benches -name '__pycache__' -prune -exec rm -rf {} + -o -name '*.so' -exec rm -f {} +
