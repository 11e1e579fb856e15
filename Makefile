# Everything a developer types. `make help` lists it; scripts/bootstrap needs Python 3.11+ only.

PYTHON ?=
UV ?=
ARGS ?=
WORKERS ?= 2
BIN := .venv/bin
SOURCES := $(wildcard src services tests bench examples scripts/*.py)

# Given as `make setup PYTHON=…`, they reach the script; empty, they must not hide the caller's.
ifneq ($(PYTHON),)
export PYTHON
endif
ifneq ($(UV),)
export UV
endif

.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench image lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create .venv from uv.lock (does nothing when it is up to date)
	@scripts/bootstrap

run: setup ## start the service on http://127.0.0.1:8002 (ARGS= for more options)
	@exec $(BIN)/tradewarden serve $(ARGS)

test: setup ## run the tests (ARGS= for pytest, WORKERS= processes)
	@scripts/test-tools
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: setup ## lint, formatting, types, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports --no-cache

format: setup ## format, repair what ruff can, write .env.example and the settings page anew
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python -m tradewarden.settings --update .
	@$(BIN)/python scripts/tables.py --update

bench: setup ## measure the service under load (needs wrk; ARGS= for the bench)
	@scripts/test-tools
	@$(BIN)/python -m bench $(ARGS)

image: setup ## build the wheel and lay out services/security_service/dist/ for docker build
	@rm -rf dist services/security_service/dist
	@.tools/uv build --quiet --wheel --out-dir dist
	@mkdir -p services/security_service/dist
	@cp dist/tradewarden-*.whl scripts/healthcheck.py services/security_service/dist/
	@.tools/uv export --quiet --frozen --no-dev --extra postgres --extra vault --no-emit-project --no-header \
		-o services/security_service/dist/requirements.txt >/dev/null
	@ls services/security_service/dist

lock: ## resolve dependencies anew: uv.lock, constraints.txt (ARGS=--upgrade)
	@scripts/bootstrap --uv-only
	@.tools/uv lock $(ARGS)
	@.tools/uv export --quiet --frozen --all-extras --no-emit-project --no-hashes --no-header \
		--no-annotate -o constraints.txt >/dev/null
	@scripts/bootstrap

clean: ## remove what was built: .venv, .tools, caches, dist (never cache/security)
	rm -rf .venv .tools dist services/security_service/dist build htmlcov .coverage*
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src services tests bench scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
