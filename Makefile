# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.stamps
# Node: the system's if it is 20 or newer, else the one that a wheel brings into the virtual environment.
NODE_PATH := $(shell node --version 2>/dev/null | grep -qE '^v(2[0-9]|[3-9][0-9])\.' && echo system)
FRONTEND_SOURCES := $(shell find frontend -path frontend/node_modules -prune -o -path frontend/dist -prune -o -type f -print 2>/dev/null)

.PHONY: help demo up test acceptance bench evaluate-denoiser evaluate-segmentation lint frontend packages-demo packages-test clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: packages-demo $(RUN)/run frontend ## set up everything, process a small study from raw k-space, serve it
	@$(BIN)/python manage.py demo --port $(PORT)

up: packages-demo $(RUN)/run frontend ## start the application on the state folder
	@$(BIN)/python manage.py up --port $(PORT)

test: packages-test $(RUN)/test frontend lint ## everything that decides a change
	@echo "== front-end tests"
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix frontend test --silent
	@echo "== tests"
	@$(BIN)/python -m pytest tests -m "not acceptance" --durations=15

acceptance: packages-test $(RUN)/test frontend ## long checks: load, faults, large files, PostgreSQL and S3
	@$(BIN)/python -m pytest tests -m acceptance --durations=15

bench: packages-test $(RUN)/bench ## timings, as ratios against a peer in one run
	@missed=""; for script in benchmarks/*.py; do \
		echo "== $$script"; $(BIN)/python $$script || missed="$$missed $$script"; done; \
		if [ -n "$$missed" ]; then echo "== A BAR WAS MISSED, or the script failed:$$missed"; exit 1; fi; \
		echo "== Every bar was met."

evaluate-segmentation: $(RUN)/test ## all measures of the segmenters on held-out data, report in docs/segmentation
	@$(BIN)/python -m recon_worker.training evaluate-segmentation

evaluate-denoiser: $(RUN)/test ## all measures of the denoiser on held-out data, report in docs/denoising
	@$(BIN)/python -m recon_worker.training evaluate

lint: $(RUN)/test ## ruff, mypy, import rules
	@echo "== ruff, mypy, import rules"
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 12

$(RUN)/venv:
	@echo "== virtual environment"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv $(VENV) && mkdir -p $(RUN) && touch $@

$(RUN)/run: requirements.txt | $(RUN)/venv
	@echo "== Python packages (a few minutes the first time)"
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on -r requirements.txt | { grep -v "already satisfied" || true; } | cut -c1-120
	@touch $@

$(RUN)/test: requirements.txt requirements-test.txt | $(RUN)/venv
	@echo "== Python packages for tests (a few minutes the first time)"
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on -r requirements-test.txt | { grep -v "already satisfied" || true; } | cut -c1-120
	@touch $(RUN)/run $@

$(RUN)/bench: requirements-bench.txt $(RUN)/test
	@echo "== Python packages to compare with"
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on -r requirements-bench.txt | { grep -v "already satisfied" || true; } | cut -c1-120
	@touch $@

frontend: frontend/dist/manifest.json ## build the front end

frontend/dist/manifest.json: $(FRONTEND_SOURCES) | $(RUN)/venv
	@echo "== front end"
ifeq ($(NODE_PATH),)
	@bash deploy/node.sh $(VENV)
endif
	@PATH="$(CURDIR)/$(BIN):$$PATH"; cd frontend && npm ci --no-audit --no-fund --loglevel=error && npm run build --silent
	@touch $@

packages-demo packages-test: packages-%:
	@bash deploy/system-packages.sh $*

clean: ## remove what was built; the state folder stays
	rm -rf $(VENV) frontend/node_modules frontend/dist build test-output
