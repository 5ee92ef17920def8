# `make help` lists what a developer does here. PYTHON=/path/to/python3.12 chooses the interpreter,
# WORKERS=1 how many processes run the tests.
.DEFAULT_GOAL := help
.PHONY: help setup demo stack test test-end-to-end test-kafka test-libraries lint types audit bench bench-detection \
	bench-overhead bench-scale fuzz soak soak-overload soak-disk soak-downstream soak-kafka schema lock clean helm chart

BIN := .venv/bin
# Half of the tests wait for servers, so that two workers take little more than half the time.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
SERVERS_HINT = command -v prometheus >/dev/null && command -v prometheus-alertmanager >/dev/null \
	|| echo "burnline: no prometheus or prometheus-alertmanager on the PATH: what needs them is skipped (Debian: apt-get install prometheus prometheus-alertmanager)"

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup:  ## build .venv/ with the burnline command in it
	@PYTHON="$(PYTHON)" scripts/setup.sh

demo: setup  ## set up, then the main job on made-up traffic: SLOs, a failing model, a page
	@$(BIN)/burnline demo

stack:  ## everything around an LLM application in containers, with a sample; says what is missing
	@docker compose version >/dev/null 2>&1 \
		|| { echo "burnline: no docker with its compose plugin here; install Docker Engine, or see docs/stack.md for what runs without" >&2; exit 1; }
	docker compose -f deploy/compose.yaml up --build

test: setup lint types  ## set up, then lint, types and the tests, but for those of whole engines
	@$(SERVERS_HINT)
	$(PYTEST) --ignore=tests/end_to_end

test-end-to-end: setup  ## whole engines among real servers, killed, starved and reloaded; some ten minutes
	@$(SERVERS_HINT)
	$(PYTEST) tests/end_to_end

lint: setup  ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## mypy, strict
	$(BIN)/mypy

audit: setup  ## ask for known vulnerabilities of what is installed (needs a network)
	@$(BIN)/python -m scripts.audit

bench: setup  ## every figure the README claims, each beside its peer
	$(BIN)/python -m benchmarks

bench-detection: setup  ## anomaly detectors on labelled series, beside others; NAB=/path scores by NAB's own too
	$(BIN)/python -m benchmarks.detection $(DETECTION)

bench-scale: setup  ## one worker and two, series by the million, recovery, a cluster on paper; SCALE="state wire"
	$(BIN)/python -m benchmarks.scale $(SCALE)

fuzz: setup  ## a million hostile inputs, some minutes; FUZZ="--seed 2 --count 5000 --target yaml"
	$(BIN)/python -m tests.fuzz $(FUZZ)

helm:  ## get helm, by which the tests check the chart (needs Go and a network; some minutes)
	@scripts/helm.sh

chart: helm  ## render the chart's examples anew, for the tests
	scripts/chart.sh

soak-downstream: setup  ## Alertmanagers that fail for ten minutes, in every way; about 15 minutes
	$(BIN)/python -m tests.soak.downstream

schema: setup  ## write the JSON Schema of the SLO files anew
	$(BIN)/burnline schema > slo/burnline-v1.schema.json

lock:  ## resolve requirements.lock, and the image's part of it, anew (needs uv)
	uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
		--quiet --no-emit-package burnline-llm pyproject.toml scripts/build.in -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--quiet --no-emit-package burnline-llm --constraint requirements.lock pyproject.toml scripts/build.in \
		-o deploy/requirements.lock

clean:  ## remove what setup and the tests made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

soak: setup  ## kill an engine 200 times (25 min): what it shows and tells is that of one left alone
	$(BIN)/python -m tests.soak kill --kills 200

soak-overload: setup  ## ten minutes of twice what an engine can take: bounded, refused, nothing lost
	$(BIN)/python -m tests.soak overload --seconds 600

soak-kafka: setup  ## ten minutes of killed brokers and engines, one or several, partitions added, poison (Java; Maven, network)
	$(BIN)/python -m tests.kafka.soak --seconds 600

soak-disk: setup  ## disks that are full and read-only under an engine (needs root)
	$(BIN)/python -m tests.soak disk --seconds 60

test-kafka: setup  ## a real Apache Kafka, fetched once (Java, Maven, network), killed and grown under engines; some minutes
	BURNLINE_KAFKA=1 $(PYTEST) tests/kafka

test-libraries: setup  ## real LLM libraries against a mock provider, each in a venv of .libraries/ (network, 1.1 GB, some minutes)
	$(BIN)/python -m tests.libraries.venvs
	BURNLINE_LIBRARIES=1 $(BIN)/python -m pytest -q tests/libraries

bench-overhead: setup  ## what a call costs more under each of these libraries; about 4 minutes
	$(BIN)/python -m tests.libraries.venvs
	$(BIN)/python -m benchmarks.overhead
