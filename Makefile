# Everything works from a fresh clone with Python 3.11+ alone: no root, nothing installed.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PARTS := $(BIN)/python scripts/parts.py

.PHONY: help setup run test test-fast lint docs bench chaos fuzz lock clean
help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/run.stamp: requirements/run.lock pyproject.toml
	@echo "setting up .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r requirements/run.lock
	@$(BIN)/python scripts/link.py
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.lock
	@$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

.venv/npm.stamp: .venv/dev.stamp $(wildcard tests/peers/*/package-lock.json)
	@for lock in tests/peers/*/package-lock.json; do \
	  PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --no-audit --no-fund --prefix $$(dirname $$lock) || exit 1; done
	@touch $@

.venv/system.stamp: .venv/dev.stamp scripts/debian.py scripts/browser.py scripts/saml_peers.py
	@$(BIN)/python -m scripts.browser
	@$(BIN)/python -m scripts.saml_peers
	@touch $@

setup: .venv/npm.stamp .venv/system.stamp  ## Install everything that tests and linters need

run: .venv/run.stamp  ## Show an agent edit an ABAP class, then stay up; ONCE=1 stops after the workflow
	@$(BIN)/holdfast demo $(if $(ONCE),--once)

test: setup  ## All tests, each part with its time budget
	@$(PARTS) unit stores adt-peers mcp-peers logon-peers odata-peers flow-peers e2e attacks chaos docs

test-fast: .venv/dev.stamp  ## The tests without peers, processes of their own and long searches, in two minutes
	@EXAMPLES=20 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n 2 --ignore=tests/peers --ignore=tests/e2e --ignore=tests/attacks --ignore=tests/docs \
	  --ignore=tests/flows/adapters --ignore=tests/cli/test_commands.py --ignore=tests/core/test_planted_faults.py \
	  --ignore=tests/stores/test_alike.py --ignore-glob='*processes.py' \
	  --ignore-glob='tests/stores/test_redis*' --ignore-glob='tests/stores/test_postgres*' -m 'not servers and not slow'

lint: .venv/dev.stamp  ## Format, lint, types, import layers
	@$(PARTS) lint

docs: .venv/dev.stamp  ## Write the manual's page of settings and commands anew
	@$(BIN)/python scripts/settings_page.py

bench: setup  ## Measure; figures go into bench/RESULTS.md by hand, with machine and date
	@for file in bench/manager.py bench/store_ports.py bench/store_redis.py bench/store_postgres.py bench/abap_overhead.py \
	  bench/abap_throughput.py bench/abap_reads.py bench/mcp_peers.py bench/mcp_sessions.py \
  bench/mcp_streams.py bench/mcp_resume.py bench/flows.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

chaos: .venv/dev.stamp  ## Kill servers a thousand times while agents work, on Redis and on PostgreSQL; about 45 minutes each
	@for store in redis postgres; do $(BIN)/python -m bench.chaos --store $$store --kills $(or $(KILLS),1000) || exit 1; done

fuzz: .venv/dev.stamp  ## Send damaged requests to a server, N of them (100,000) for each store; SEED draws others
	@for store in memory sqlite; do $(BIN)/python -m bench.fuzz --store $$store --requests $(or $(N),100000) --seed $(or $(SEED),1) || exit 1; done

lock: .venv/dev.stamp  ## Look the newest versions up and write the lock files
	@$(BIN)/python scripts/lock.py

clean:  ## Remove what was installed and generated
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* tests/peers/*/node_modules
