# The commands that matter: `make demo` to try prefill, `make test` to check it.

CARGO ?= cargo
PYTHON ?= python3
VENV := .venv

.PHONY: help build engine demo test check test-python clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

build: ## build the program
	$(CARGO) build --locked

engine: build ## fetch ClickHouse as a library into the user's cache, once
	@target/debug/prefill engine --fetch

# Everything of the demo lies in target/demo; remove that to begin again.
demo: engine ## a synthetic site, the setting turned on, the fill, the verdict
	@target/debug/prefill --data-dir target/demo demo

# A foreign client for the engine's HTTP interface.
test-python: $(VENV)/done
$(VENV)/done: tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

test: engine test-python ## all set-up that the tests need, and all tests
	$(CARGO) test --locked --no-fail-fast

check: ## what CI checks before the tests
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

clean: ## remove what was built, the demo and the Python environment
	$(CARGO) clean
	rm -rf $(VENV)
