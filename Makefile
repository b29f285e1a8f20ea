# Everything happens inside this clone: .venv (packages), .uv (uv and its cache), .surefoot (what runs leave).
.DEFAULT_GOAL := help
.PHONY: help setup demo worker test test-model test-all chaos chaos-night eval replay lint format types check clean

PY := .venv/bin/python
ARGS ?=
JOBS ?= 4
# Else each process that a test starts compiles all of its modules again, which is most of what its start costs.
unexport PYTHONDONTWRITEBYTECODE
EVERYDAY := not slow and not long and not browser and not chaos and not model

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: ## prepare .venv from uv.lock (PYTHON=... to choose the Python, WITH=... groups: s3, gcs, postgres, redis, pydantic-ai...)
	@PYTHON="$(PYTHON)" sh .ci/setup $(WITH)

demo: setup ## run the sample onboarding: server, worker and console (ARGS="--yes" answers its approval)
	@$(PY) starter.py demo $(ARGS) || [ $$? -eq 130 ] # Ctrl-C is a way to leave, not an error

worker: setup ## run a worker, and a server when none is configured
	@$(PY) worker.py $(ARGS)

test: setup ## the everyday tests, side by side (ARGS="-k name" for some of them, JOBS=0 for one after the other)
	@$(PY) -m pytest -n $(JOBS) --dist worksteal -m "$(EVERYDAY)" $(ARGS)

test-model: ## the tests against a small real model, served on this machine
	@sh .ci/setup model
	@$(PY) -m pytest -m model $(ARGS)

chaos: setup ## kill, stop and starve workers, servers and models under seeds of faults (SEED=7, SEED=1-50), at every step and undo
	@$(if $(SEED),CHAOS_SEEDS='$(SEED)' $(PY) -m pytest -s tests/chaos/test_seeds.py,$(PY) -m pytest -s tests/chaos) $(ARGS)

chaos-night: setup ## a thousand seeds of faults, the whole kill matrix, and a server that is gone for ten minutes
	@CHAOS_SEEDS=1-1000 $(PY) -m pytest -s tests/baddays/test_server_gone.py tests/chaos/test_matrix.py tests/chaos/test_seeds.py $(ARGS)

test-all: setup ## all tests, the slow, browser, chaos and model ones too
	@$(PY) -m pytest $(ARGS)

eval: setup ## try the cases beside processes on recorded answers (ARGS="invoice-approval --runs 20 --record")
	@$(PY) starter.py eval $(ARGS)

replay: setup ## the committed histories, replayed on this code (ARGS="--last 50": the newest of your server too)
	@$(PY) starter.py replay tests/histories $(ARGS)

lint: setup ## style, dangerous calls, complexity, import layers
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -c "import sys; from importlinter.cli import lint_imports_command; sys.argv = ['lint-imports', '--no-cache']; lint_imports_command()"

format: setup ## rewrite what lint can mend by itself
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: setup ## strict types of the project, then of each process's own files
	@$(PY) -m mypy
	@for folder in processes/*/; do \
		ls "$$folder"*.py >/dev/null 2>&1 || continue; \
		$(PY) -m mypy "$$folder"*.py || exit 1; \
	done

check: lint types test ## what a change must pass before it is sent

clean: ## remove all that setup, tests and runs made, but .surefoot
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
