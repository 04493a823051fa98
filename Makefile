# Everything that is done with this project by hand or by a machine. `make help` lists the targets.

# Compiled code lives outside of the checkout, so that a fresh clone or a second worktree starts warm.
CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/hitters
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Where the tests keep what they fetch (Apache Kafka from Maven Central).
export HITTERS_CACHE ?= $(CACHE)
PREFIX ?= $(HOME)/.local
# rustup puts cargo here and asks for a new shell; a make that runs at once finds it too.
export PATH := $(PATH):$(HOME)/.cargo/bin

HITTERS = $(CARGO_TARGET_DIR)/release/hitters
BUILD = cargo build --release --locked --package hitters

.DEFAULT_GOAL := help
.PHONY: help run build install test test-long test-plugins test-kills test-simulation test-api test-arroyo lint fmt bench-sketch bench-connectors bench-kafka bench-latency bench-groups bench-checkpoints bench-state bench-service bench-answers clean

help: ## Lists the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Builds what is needed and finds the top K of 336,776 flights
	@"$(HITTERS)" run flights

build: ## Builds the hitters command
	@scripts/setup.sh run
	@echo "building into $(CARGO_TARGET_DIR)" >&2
	@$(BUILD)

install: build ## Copies the hitters command to PREFIX/bin (default: ~/.local/bin)
	@mkdir -p "$(PREFIX)/bin"
	@install -m 755 "$(HITTERS)" "$(PREFIX)/bin/hitters"
	@echo "installed $(PREFIX)/bin/hitters" >&2
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo "it is not on your PATH yet: export PATH=\"$(PREFIX)/bin:\$$PATH\"" >&2 ;; esac

test: ## Runs every check and test, with real services
	@scripts/test.sh

test-long: ## Runs the accuracy test over 10 million events
	@scripts/setup.sh test
	HITTERS_TEST_EVENTS=10000000 HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo test --release --locked --package hitters --test kafka

test-plugins: ## Compiles every function for Arroyo and compares its answers with the embedded engine's
	HITTERS_PLUGINS=all cargo test --release --locked --workspace --all-features --test plugin_answers

test-kills: ## Kills a run under load 300 times, takes a broker away for 30 s, and compares every row
	@scripts/setup.sh test
	HITTERS_TEST_KILLS=200 HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo test --release --locked --workspace --all-features --test recovery -- --nocapture --test-threads 1
	HITTERS_TEST_OUTAGE=30 HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo test --release --locked --workspace --all-features --test faults broker

test-simulation: ## Runs thousands of schedules of crashes and faults
	SCHEDULES=3000 cargo test --release --locked --package hitters-dataflow --test schedules -- --nocapture

test-api: ## Holds the query service to its OpenAPI document with thousands of requests (schemathesis)
	@scripts/setup.sh test
	HITTERS_TEST_API=1000 HITTERS_API_CHECK="$$(scripts/services.sh api)" cargo test --release --locked --package hitters --all-features --test api -- --nocapture

test-arroyo: ## Runs the shipped pipelines on a real Arroyo (ARROYO_BIN or ARROYO_URL) and compares every row
	@scripts/setup.sh test
	@test -n "$(ARROYO_BIN)$(ARROYO_URL)" || { echo "set ARROYO_BIN to the program of an Arroyo, or ARROYO_URL to the address of one" >&2; exit 2; }
	HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo test --release --locked --package hitters --test arroyo -- --nocapture --test-threads 1

lint: ## Checks the format and runs clippy
	cargo fmt --all --check
	cargo clippy --workspace --release --locked -- --deny warnings

fmt: ## Formats the code
	cargo fmt --all

bench-sketch: ## Measures the sketches beside their peers
	cargo run --release --locked --manifest-path udfs/sketch/bench/Cargo.toml -- all --events 5000000 --budget 64

bench-connectors: ## Measures the decoder, Kafka and Redis each alone
	@scripts/setup.sh test
	HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo test --release --locked --package hitters-connectors -- --ignored --nocapture

bench-kafka: ## Measures the way from a Kafka topic to the top K against a bare consume loop
	@scripts/setup.sh test
	HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo bench --locked --package hitters --bench kafka

bench-latency: ## Measures the time from the event that closes a window to its rows in Redis
	@scripts/setup.sh test
	HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo bench --locked --package hitters --bench latency

bench-groups: ## Measures the memory of 100,000 groups, and what a memory limit says
	@scripts/setup.sh test
	HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo bench --locked --package hitters --bench groups

bench-checkpoints: ## Measures what checkpoints cost, and how soon a killed run is back
	@scripts/setup.sh test
	HITTERS_KAFKA_LIB="$$(scripts/services.sh)" cargo bench --locked --workspace --all-features --bench checkpoints

bench-state: ## Measures state beyond memory: a week of hourly panes over 100,000 groups within 512 MB
	@scripts/setup.sh test
	cargo bench --locked --workspace --all-features --bench state

bench-service: ## Measures kept answers beside redis-benchmark GETs of the same bytes, and memory (HITTERS_BENCH_SOAK=3600)
	@scripts/setup.sh bench
	cargo bench --locked --package hitters --bench service

bench-answers: ## Measures answers over a day and a week from each store, and the bytes of history in Cassandra
	@scripts/setup.sh test
	HITTERS_CASSANDRA_LIB="$$(scripts/services.sh cassandra)" cargo bench --locked --package hitters --features cassandra --bench answers

clean: ## Removes what was built and what the runs wrote
	rm -rf "$(CARGO_TARGET_DIR)" results
