#!/bin/sh
# Fetches what a service of the tests runs on, and prints the folder of it:
#
#     export HITTERS_KAFKA_LIB="$(scripts/services.sh kafka)"    # Apache Kafka 4.3.1, 44 MB of jars (also without an argument)
#     export HITTERS_HDFS_LIB="$(scripts/services.sh hdfs)"      # Apache Hadoop 3.5.0, 104 MB of jars
#     export HITTERS_CASSANDRA_LIB="$(scripts/services.sh cassandra)" # Apache Cassandra 5.0.8, 67 MB of jars
#     export HITTERS_MOTO="$(scripts/services.sh s3)"            # moto 5.2.5, 140 MB of Python packages
#     export HITTERS_DOCKER_CHECK="$(scripts/services.sh docker)" # what reads and lints docker/, 40 MB of Python packages
#     export HITTERS_API_CHECK="$(scripts/services.sh api)"      # schemathesis 4.32.5, 90 MB of Python packages
#     export HITTERS_PAGE_CHECK="$(scripts/services.sh page)"    # rules of accessibility for the page, 10 MB of Python packages
#     export HITTERS_POSTGRES_CHECK="$(scripts/services.sh postgres)" # drivers of PostgreSQL and SQLAlchemy, 50 MB of Python packages
#     export HITTERS_JDBC_LIB="$(scripts/services.sh jdbc)"      # the JDBC driver of PostgreSQL, 1 MB
#
# Jars come from Maven Central and are checked against tests/NAME/jars.sha256, Python packages come from PyPI. Each is fetched once into
# HITTERS_CACHE (default: ~/.cache/hitters). Redis comes from the system's packages (scripts/setup.sh).
set -eu
cd "$(dirname "$0")/.."

cache=${HITTERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hitters}

say() { echo "services: $*" >&2; }

# The names in a list may be paths in the repository; the jars lie side by side.
checked() {
    sed 's|  .*/|  |' "tests/$1/jars.sha256" | (cd "$2" && sha256sum --check --strict --quiet) >/dev/null 2>&1
}

# Fetched beside the target and then renamed, so that a broken download never looks whole.
prepare() {
    mkdir -p "$(dirname "$1")"
    fresh=$(mktemp -d "$1.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
}

finish() {
    rm -rf "$1"
    mv "$fresh" "$1"
    trap - EXIT
}

jars() {
    if ! checked "$1" "$3" 2>/dev/null; then
        say "fetching $2 into $3"
        if ! command -v mvn >/dev/null 2>&1; then
            say "please install maven, then run this again"
            exit 1
        fi
        prepare "$3"
        mvn --batch-mode --quiet --file "tests/$1/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh" >&2
        if ! checked "$1" "$fresh"; then
            say "the fetched jars are not those of tests/$1/jars.sha256; please try again"
            exit 1
        fi
        finish "$3"
    fi
    echo "$3"
}

# An environment cannot be moved: its marker is written last instead.
python() {
    if ! [ -e "$3/complete" ] || ! cmp -s "tests/$1/requirements.txt" "$3/complete"; then
        say "fetching $2 into $3"
        rm -rf "$3"
        mkdir -p "$(dirname "$3")"
        python3 -m venv "$3" >&2
        "$3/bin/pip" install --quiet --disable-pip-version-check --requirement "tests/$1/requirements.txt" >&2
        cp "tests/$1/requirements.txt" "$3/complete"
    fi
    echo "$3"
}

case ${1:-kafka} in
kafka) jars kafka "Apache Kafka 4.3.1" "${HITTERS_KAFKA_LIB:-$cache/kafka-4.3.1}" ;;
hdfs) jars hdfs "Apache Hadoop 3.5.0" "${HITTERS_HDFS_LIB:-$cache/hdfs-3.5.0}" ;;
cassandra) jars cassandra "Apache Cassandra 5.0.8" "${HITTERS_CASSANDRA_LIB:-$cache/cassandra-5.0.8}" ;;
s3) python s3 "moto 5.2.5" "${HITTERS_MOTO:-$cache/moto-5.2.5}" ;;
page) python page "rules of accessibility" "${HITTERS_PAGE_CHECK:-$cache/page-check}" ;;
api) python api "schemathesis 4.32.5" "${HITTERS_API_CHECK:-$cache/api-check}" ;;
jdbc) jars jdbc "the JDBC driver of PostgreSQL 42.7.13" "${HITTERS_JDBC_LIB:-$cache/jdbc-42.7.13}" ;;
postgres) python postgres "drivers of PostgreSQL" "${HITTERS_POSTGRES_CHECK:-$cache/postgres-check}" ;;
docker) python docker "a YAML reader and a linter" "${HITTERS_DOCKER_CHECK:-$cache/docker-check}" ;;
*)
    say "there is no service '$1': kafka, hdfs, cassandra, s3, docker, page, api, postgres, jdbc"
    exit 2
    ;;
esac
