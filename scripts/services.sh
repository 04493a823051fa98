#!/bin/sh
# Fetches what the tests' services run on: the jars of Apache Kafka 4.3.1 from Maven Central (44 MB, checked against
# tests/kafka/jars.sha256). Redis comes from the system's packages (scripts/setup.sh). Prints the folder of the jars, which
# the tests take from HITTERS_KAFKA_LIB:
#
#     export HITTERS_KAFKA_LIB="$(scripts/services.sh)"
#
# Fetched once into HITTERS_CACHE (default: ~/.cache/hitters), by Maven.
set -eu
cd "$(dirname "$0")/.."

cache=${HITTERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hitters}
lib=${HITTERS_KAFKA_LIB:-$cache/kafka-4.3.1}
list=$PWD/tests/kafka/jars.sha256

say() { echo "services: $*" >&2; }

# The names in the list are paths in the repository; the jars lie side by side.
checked() {
    sed 's|  .*/|  |' "$list" | (cd "$1" && sha256sum --check --strict --quiet) >/dev/null 2>&1
}

if ! checked "$lib" 2>/dev/null; then
    say "fetching Apache Kafka 4.3.1 into $lib"
    mkdir -p "$(dirname "$lib")"
    # Beside the target and then renamed, so that a broken download never looks whole.
    fresh=$(mktemp -d "$lib.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    if ! command -v mvn >/dev/null 2>&1; then
        say "please install maven, then run this again"
        exit 1
    fi
    mvn --batch-mode --quiet --file tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$fresh" >&2
    if ! checked "$fresh"; then
        say "the fetched jars are not those of tests/kafka/jars.sha256; please try again"
        exit 1
    fi
    rm -rf "$lib"
    mv "$fresh" "$lib"
    trap - EXIT
fi
echo "$lib"
