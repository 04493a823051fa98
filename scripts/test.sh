#!/bin/sh
# Every check and test of the project. `make test` and .ci/run call it; nothing but Rust, python3 and (on Debian) apt must
# be there. Real services are started on free ports of the loopback and stopped again by the tests that need them.
set -eu
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
started=$(date +%s)
trap '[ $? = 0 ] || echo "FAILED after $(($(date +%s) - started)) s, at: $at"' EXIT

at="setup"
step "Setup"
scripts/setup.sh test
HITTERS_KAFKA_LIB=$(scripts/services.sh kafka)
HITTERS_HDFS_LIB=$(scripts/services.sh hdfs)
HITTERS_CASSANDRA_LIB=$(scripts/services.sh cassandra)
HITTERS_MOTO=$(scripts/services.sh s3)
HITTERS_DOCKER_CHECK=$(scripts/services.sh docker)
HITTERS_PAGE_CHECK=$(scripts/services.sh page)
HITTERS_API_CHECK=$(scripts/services.sh api)
HITTERS_POSTGRES_CHECK=$(scripts/services.sh postgres)
HITTERS_JDBC_LIB=$(scripts/services.sh jdbc)
export HITTERS_KAFKA_LIB HITTERS_HDFS_LIB HITTERS_CASSANDRA_LIB HITTERS_MOTO HITTERS_DOCKER_CHECK HITTERS_PAGE_CHECK HITTERS_API_CHECK HITTERS_POSTGRES_CHECK HITTERS_JDBC_LIB

at="format"
step "Format"
cargo fmt --all --check

at="clippy"
step "Clippy"
cargo clippy --workspace --all-features --release --locked -- --deny warnings

at="tests"
step "Tests"
cargo test --workspace --all-features --release --locked

printf '\nAll checks and tests passed in %s s.\n' "$(($(date +%s) - started))"
