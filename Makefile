# Every target creates what it needs. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m src.run
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo ui test test-all browser lint format scaling demo-models bench doctor clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## run the embedded ladder of four models and compare them
	$(RUN) -m model=demo_xs,demo_s,demo_m,demo_l
	@echo "Now open the comparison: make ui"

ui: $(VENV)/.run ## open the MLflow UI on the store that runs are written to
	$(VENV)/bin/wattrack ui

test: $(VENV)/.dev ## the tests that need no network, GPU or browser
	$(VENV)/bin/python -m pytest -n auto

test-all: $(VENV)/.dev ## the slow and the browser tests as well (needs chromium)
	$(VENV)/bin/python -m pytest -n auto -m "not gpu and not network"

browser: $(VENV)/.dev ## the tests that drive the real MLflow UI (needs chromium)
	$(VENV)/bin/python -m pytest -m browser

lint: $(VENV)/.dev ## format check, lint, types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(VENV)/.dev ## format the code and apply safe lint fixes
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

scaling: $(VENV)/.run ## the Qwen2.5 size sweep on GSM8K (needs the hub or a filled cache)
	$(RUN) -m experiment=scaling

demo-models: $(VENV)/.run ## train the embedded ladder again from its generator (CPU, resumable)
	$(VENV)/bin/python -m wattrack.demo.train

bench: $(VENV)/.run ## start-up times and the overhead of measuring
	$(VENV)/bin/python benchmarks/startup.py
	$(VENV)/bin/python benchmarks/overhead.py

doctor: $(VENV)/.run ## close runs whose process died and check the store
	$(VENV)/bin/wattrack doctor

clean: ## remove the environment; runs and results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wattrack needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing wattrack and what it needs into $(VENV) (the first time takes minutes) ..."
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@
