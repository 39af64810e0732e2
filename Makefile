.DEFAULT_GOAL := help
.PHONY: help env up down demo test lint format check bench bench-peers faults soak fuzz simulate wheel sbom lock reference clean

# The fastest Python that is new enough; nothing else has to be here beforehand.
PYTHON ?= $(shell sh processor/local/python.sh)
LOCAL = $(PYTHON) -m processor.local
VENV = .venv/bin
# Processes that run tests at once, each on servers of its own: most tests wait most of the time.
JOBS ?= 2
BEGAN := $(shell date +%s)
SBOM = dist/hub-audit.cdx.json
UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal \
	--generate-hashes --no-emit-index-url --python-version 3.11

help: ## Say what each target does.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

env: ## Make the virtual environment and fetch what is missing: Java, Maven, Kafka, Postgres.
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it (package python3)."; exit 1; }
	@$(LOCAL) env

up: env ## Start Kafka and Postgres for development and write their settings to .local/env.
	@$(LOCAL) up

down: ## Stop the Kafka and Postgres of `make up`; their data stay.
	@$(LOCAL) down

demo: env ## Show it working: servers, processor, live events of every kind; Ctrl-C ends it all.
	@DEMO_BEGAN=$(BEGAN) $(VENV)/hub-audit demo $(DEMO)

test: env ## Run the whole suite on real Kafka and Postgres, and in a real browser.
	@$(LOCAL) programs
	@$(VENV)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

lint: env ## Check style, types, docstrings and the import contracts.
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-logo
	@$(VENV)/interrogate -q processor schemas tests

format: env ## Let ruff mend what it can.
	@$(VENV)/ruff check --fix-only .
	@$(VENV)/ruff format .

check: lint ## Run lint and the whole suite, with coverage.
	@$(LOCAL) programs
	@$(VENV)/coverage erase
	@$(VENV)/coverage run -m pytest
	@$(VENV)/coverage combine -q
	@$(VENV)/coverage report

bench: env ## Measure throughput, latency and memory against the targets.
	@$(VENV)/python -m tests.benchmarks

bench-peers: env ## Compare with what would be built or picked instead: speed, and what a kill leaves.
	@$(VENV)/python -m tests.benchmarks.peers $(PEERS)

faults: env ## The full run under faults, half an hour: FAULTS="--events 30000 --faults 26" is short.
	@$(VENV)/python -m tests.faults.run $(FAULTS)

wheel: env ## Build the wheel of this commit into dist/: COMPILE_HUB_AUDIT=1 for a faster one.
	@rm -rf build/sources dist/hub_audit-*.whl && mkdir -p build/sources
	@umask 022 && git archive HEAD pyproject.toml README.md setup.py processor schemas | tar -x -C build/sources \
		&& SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(VENV)/pip wheel -q --no-deps \
		--no-build-isolation --disable-pip-version-check --wheel-dir dist ./build/sources

sbom: env ## Write the bill of materials of an installation to dist/, as CycloneDX.
	@mkdir -p $(dir $(SBOM))
	@$(VENV)/python -W ignore -m cyclonedx_py requirements deploy/requirements.lock \
		--pyproject pyproject.toml --output-reproducible --of JSON -o $(SBOM)

soak: env ## An hour at 70 % of the peak, a fault a minute; its page in dist/soak: SOAK="--minutes 5".
	@$(VENV)/python -m tests.faults.soak $(SOAK)

fuzz: env ## Send a million mutated inputs down the path: FUZZ="--inputs 1000000".
	@$(VENV)/python -m tests.fuzz $(FUZZ)

simulate: env ## Play thousands of seeds of faults on virtual time: SIMULATE="--seeds 20000".
	@$(VENV)/python -m tests.simulation $(SIMULATE)

lock: ## Resolve the locked versions again, with their hashes (needs uv).
	@$(UV_COMPILE) pyproject.toml -o deploy/requirements.lock
	@$(UV_COMPILE) --extra dev -c deploy/requirements.lock pyproject.toml -o deploy/requirements-dev.lock
	@$(UV_COMPILE) --no-deps deploy/requirements-postgres.in -o deploy/requirements-postgres.lock
	@$(UV_COMPILE) -c deploy/requirements-dev.lock deploy/requirements-build.in \
		-o deploy/requirements-build.lock

reference: env ## Write the references and Kubernetes' topics and users from what is declared.
	@$(VENV)/python -m schemas.generate
	@$(VENV)/python -m processor.metrics.reference deploy/metrics.md
	@$(VENV)/python -m processor.siem.reference deploy/siem/fields.md
	@$(VENV)/python deploy/generate.py
	@$(VENV)/python deploy/grafana/generate.py

clean: ## Stop the servers and delete their data, the environment and all caches of this folder.
	@$(LOCAL) clean
	@rm -rf .venv build dist *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache
