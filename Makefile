# The commands that matter: `make demo` to try prefill, `make test` to check it.

CARGO ?= cargo
PYTHON ?= python3
VENV := .venv

.PHONY: help build engine demo test bench bench-ledger faults kill check test-python promtool clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

build: ## build the program
	$(CARGO) build --locked

engine: build ## fetch ClickHouse as a library into the user's cache, once
	@target/debug/prefill engine --fetch

# Everything of the demo lies in target/demo; remove that to begin again.
demo: engine ## a synthetic site, the setting turned on, the fill, the verdict
	@target/debug/prefill --data-dir target/demo demo

# A foreign client for the engine's HTTP interface, and what drives a browser.
test-python: $(VENV)/done
$(VENV)/done: tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# Prometheus' promtool from Debian's package, unpacked and not installed, which would start a service. What it
# checks is left out where there is none.
promtool: test-python
	@command -v promtool >/dev/null || [ -x $(VENV)/promtool/usr/bin/promtool ] || tests/fetch_promtool $(VENV)/promtool

# Every test with the ledger in SQLite, beside a Postgres for the tests that need one whatever the others
# use; then each story of an installation once more, with its ledger in Postgres.
STORIES := api claims cli cli_bad_input control dashboard faults fill hostile many_teams real_log reference_tables serve several_days telemetry
test: engine test-python promtool ## all set-up that the tests need, and all tests
	tests/with_chromium tests/with_postgres $(CARGO) test --locked --no-fail-fast
	PREFILL_TEST_LEDGER=postgres tests/with_chromium tests/with_postgres $(CARGO) test --locked --no-fail-fast $(STORIES:%=--test %)
	PREFILL_BENCH_EVENTS=40000 PREFILL_BENCH_RUNS=1 PREFILL_BENCH_TEAMS=50 $(CARGO) test --locked --bench fill

# What takes hours: every call broken in every way, at random with the seed that is printed; and the
# real processes killed from outside. FAULTS is a number of runs, SECONDS how long to kill.
FAULTS ?= 10000
SECONDS ?= 600
faults: engine ## broken runs on both ledgers, as many as FAULTS says
	PREFILL_FAULTS=$(FAULTS) tests/with_postgres $(CARGO) test --locked --test faults -- --nocapture
	PREFILL_FAULTS=$(FAULTS) PREFILL_TEST_LEDGER=postgres tests/with_postgres $(CARGO) test --locked --test faults -- --nocapture

kill: engine ## serve, engine and Postgres killed at random moments for SECONDS, then everything validated
	tests/kill_everything --seconds $(SECONDS) --ledger sqlite
	tests/kill_everything --seconds $(SECONDS) --ledger postgres

# PREFILL_BENCH_EVENTS, PREFILL_BENCH_RUNS, PREFILL_BENCH_TEAMS and PREFILL_BENCH_DAYS make it larger: see benches/fill.rs.
REPORT ?= docs/performance.md
export PREFILL_BENCH_EVENTS PREFILL_BENCH_RUNS PREFILL_BENCH_TEAMS PREFILL_BENCH_DAYS
bench: engine ## what filling costs, beside the obvious way and the least that is possible; writes REPORT
	PREFILL_BENCH_REPORT=$(abspath $(REPORT)) $(CARGO) bench --locked --bench fill

bench-ledger: ## how quick the ledger is, on SQLite and on Postgres
	tests/with_postgres $(CARGO) bench --locked --bench ledger

check: ## what CI checks before the tests
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

clean: ## remove what was built, the demo and the Python environment
	$(CARGO) clean
	rm -rf $(VENV)
