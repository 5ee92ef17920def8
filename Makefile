# `make help` lists what a developer does here. PYTHON=/path/to/python3.12 chooses the interpreter.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types bench fuzz schema lock clean

BIN := .venv/bin
SERVERS_HINT = command -v prometheus >/dev/null && command -v prometheus-alertmanager >/dev/null \
	|| echo "burnline: no prometheus or prometheus-alertmanager on the PATH: what needs them is skipped (Debian: apt-get install prometheus prometheus-alertmanager)"

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup:  ## build .venv/ with the burnline command in it
	@PYTHON="$(PYTHON)" scripts/setup.sh

demo: setup  ## set up, then the main job on made-up traffic: SLOs, a failing model, a page
	@$(BIN)/burnline demo

test: setup lint types  ## set up, then lint, types and all the tests
	@$(SERVERS_HINT)
	$(BIN)/python -m pytest

lint: setup  ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## mypy, strict
	$(BIN)/mypy

bench: setup  ## every figure the README claims, each beside its peer
	$(BIN)/python -m benchmarks

fuzz: setup  ## a million hostile inputs, some minutes; FUZZ="--seed 2 --count 5000 --target yaml"
	$(BIN)/python -m tests.fuzz $(FUZZ)

schema: setup  ## write the JSON Schema of the SLO files anew
	$(BIN)/burnline schema > slo/burnline-v1.schema.json

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
		--quiet pyproject.toml scripts/build.in -o requirements.lock

clean:  ## remove what setup and the tests made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
