# leadhook: `make` lists the targets. Needs Python 3.11 or newer, make, and the package registries. The local stack (demo,
# up and the tests that need a database) runs on Linux x86-64 alone; everything else runs on macOS and arm64 as well.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

RELEASES := 15 16 17 18
PIPS := 23.0.1 23.2.1 newest
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
SUPABASE_CLI := $(VENV)/share/leadhook/supabase-cli

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-fast test-postgres test-cli test-browser test-install faults attacks check format schema bench bench-short lock wheel binary audit clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install everything into .venv: locked packages, and the local stack where it runs

$(READY): requirements-pip.lock requirements-dev.lock requirements-node.lock pyproject.toml src/leadhook/local/npm/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit("leadhook needs Python 3.11 or newer; set PYTHON=... to one" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements-pip.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	command -v npm >/dev/null || $(PIP) --require-hashes -r requirements-node.lock
	$(PIP) --no-deps --no-build-isolation -e .
	$(BIN)/leadhook local setup
	@touch $(READY)

demo: $(READY) ## two dozen sample leads, from the database's change to the saved answer, then a table
	$(BIN)/leadhook local demo

up: $(READY) ## the same on data that is kept in .demo, and new answers as they come, until Ctrl-C
	$(BIN)/leadhook local up --state-dir .demo

test: $(READY) ## every test, on real Postgres and real PostgREST
	$(BIN)/pytest -n 4 --dist worksteal

test-fast: $(READY) ## tests/unit and tests/http, in a minute: no database, no local stack
	$(BIN)/pytest -q -n 3 --dist worksteal tests/unit tests/http --ignore tests/unit/test_platforms.py

test-postgres: $(READY) ## tests/sql on Postgres 15, 16, 17 and 18, a line each; it brings what is missing from npm
	@failed=; for release in $(RELEASES); do \
	  if said=$$(LEADHOOK_POSTGRES=$$release $(BIN)/pytest -q -n 3 --dist worksteal tests/sql 2>&1); \
	  then printf 'Postgres %s: %s\n' $$release "$$(printf %s "$$said" | tail -n 1)"; \
	  else printf '%s\nPostgres %s: FAILED\n' "$$said" $$release; failed=yes; fi; \
	done; [ -z "$$failed" ]

test-cli: $(READY) ## what the real Supabase CLI makes of our files (from npm, 40 MB to download), and its linter of our functions
	mkdir -p $(SUPABASE_CLI) && cp tests/supabase_cli/package*.json $(SUPABASE_CLI)
	PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix $(SUPABASE_CLI) --ignore-scripts --no-audit --no-fund --loglevel=error
	$(BIN)/pytest -n 2 tests/sql/test_supabase_cli.py
	tests/supabase_cli/lint

test-browser: $(READY) ## the pages in Chromium, which it installs where apt is there: /docs, /console, docs/answers.md
	command -v chromium >/dev/null || ! command -v apt-get >/dev/null || apt-get install -y --no-install-recommends chromium
	command -v chromium >/dev/null || { echo "NOT TESTED: the pages need Chromium, and apt-get is not here to install it" >&2; exit 1; }
	$(BIN)/pytest -q -n 0 tests/http/test_docs.py tests/stack/test_console_browser.py tests/stack/test_docs_answers_page.py

test-install: $(READY) ## install the lock files with pip 23.0.1, 23.2.1 and the newest (needs the package index, minutes)
	@for pip in $(PIPS); do LEADHOOK_PIP=$$pip $(BIN)/pytest -q -p no:cacheprovider tests/unit/test_install_by_pip.py || exit 1; done

faults: $(READY) ## crashes, outages and races in full length, two hours; LEADHOOK_SEED repeats one
	LEADHOOK_FAULTS=long $(BIN)/pytest -s tests/faults tests/sql/test_state_machine.py

attacks: $(READY) ## strangers at the port, a minute of each kind: 5,000 connections, dripping bodies, replayed webhooks, bad tokens
	LEADHOOK_FAULTS=long $(BIN)/pytest -s -n 0 tests/faults/test_strangers.py

check: $(READY) ## lint, format, types, layers, wording of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 0 tests/unit/test_prose.py

format: $(READY) ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(READY) ## renew tests/sql/schema.sql and grants.txt from the migrations; read their diff afterwards
	LEADHOOK_RENEW=1 $(BIN)/pytest -q tests/sql/test_schema_dump.py tests/sql/test_grants.py -k "dump or every_right"

bench: $(READY) ## measure everything and renew docs/performance.md: 26 minutes on a quiet machine; one: .venv/bin/python -m bench --help
	$(PIP) --require-hashes -r requirements-bench.lock
	$(BIN)/python -m bench --page

bench-short: $(READY) ## every measurement in seconds, two minutes in all: shows that they work; the figures mean nothing
	$(PIP) --require-hashes -r requirements-bench.lock
	$(BIN)/python -m bench --short

LOCK := uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11

# Pip before 23.3 takes `httpx` and `httpx[http2]` for two packages, so the locks name both.
lock: ## renew the lock files from pyproject.toml (needs uv)
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) --group bench -c requirements-dev.lock -o requirements-bench.lock
	$(LOCK) --group node -o requirements-node.lock
	$(LOCK) --group pip -o requirements-pip.lock
	perl -0pi -e 's/^([a-z0-9-]+)(\[[^\]]+\])(==.*\n(?: {4}--hash=.*\n)+)/$$1$$3$$1$$2$$3/mg' requirements*.lock

wheel: $(READY) ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation -w dist .

binary: $(READY) ## build dist/leadhook, one file for Linux that needs no Python, and have it answer a lead (minutes)
	$(BIN)/pyinstaller --noconfirm --log-level ERROR --distpath dist --workpath build leadhook.spec
	LEADHOOK_BINARY=$(CURDIR)/dist/leadhook $(BIN)/pytest -q -n 0 tests/stack/test_binary.py

audit: $(READY) ## look for known vulnerabilities in the locked packages (needs the internet)
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.lock

clean: ## remove what setup, up and the tests made
	[ ! -f .demo/postgres.path ] || rm -rf "$$(cat .demo/postgres.path)"
	rm -rf $(VENV) .demo dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench/results
