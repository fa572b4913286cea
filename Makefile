# The two commands of the README, and the recipes that CI and people share.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Hundreds of short processes are started in the tests: without compiled files each reads all of us anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint unit soak bench bench-proxies lock setup-demo setup-test clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: setup-demo ## set everything up and run the main job; ARGS="--headless --report r.json" is passed on
	$(BIN)/serinus demo $(ARGS)

test: setup-test lint ## set up what the tests need, then gates and tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not soak" $(ARGS)

lint: setup-test ## the gates, cheapest first
	$(BIN)/ruff format --check src tests bench scripts
	$(BIN)/ruff check src tests bench scripts
	$(BIN)/lint-imports
	$(BIN)/mypy

soak: setup-test ## the long runs
	$(BIN)/python -m pytest -m soak $(ARGS)

bench: setup-test ## re-measure floor, peers and us side by side; writes bench/REPORT.md
	scripts/setup.sh bench $(VENV)
	$(BIN)/python -m bench $(ARGS)

bench-proxies: setup-test ## each real proxy without us and with us; writes bench/PROXIES.md; ARGS=--long takes its time
	$(BIN)/python -m bench.proxies $(ARGS)

setup-demo:
	@scripts/setup.sh demo $(VENV)

setup-test:
	@scripts/setup.sh test $(VENV)

lock: ## resolve the dependencies anew
	scripts/lock.sh $(VENV)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
