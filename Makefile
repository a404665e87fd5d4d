# Every target sets up what it needs, from nothing, in .venv; a second time it does so in no time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check fix docs dev bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (2 GB the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## mine synthetic videos with known ground truth and score the result
	@$(BIN)/video-miner demo

test: $(READY)  ## run the tests (offline)
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY)  ## format, lint, types, architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

fix: $(READY)  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY)  ## make the generated parts of docs/ anew
	@$(BIN)/python -m scripts.refresh_docs

dev: $(READY)  ## the Dagster UI on ./output
	@$(BIN)/video-miner dev

bench: $(READY)  ## run the benchmarks and write their tables into docs/performance.md (15 minutes at most)
	@$(BIN)/python benchmarks/run_all.py

clean:  ## remove what make made; never your output folders
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo_output dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
