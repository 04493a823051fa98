#!/bin/sh
# Makes sure that the system has what a build (`run`) or the tests (`test`) need.
#
#     scripts/setup.sh run|test|bench
#
# Debian and Ubuntu packages are installed if they are missing and we may (as root or by sudo). Elsewhere it says what to
# install. Rust is never installed, only checked: where it lives is yours to decide.
set -eu

RUST=1.94
purpose=${1:-run}

say() { echo "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Packages for commands and headers that are not there.
missing=""
need() { missing="$missing $1"; }
have cc && have c++ && have make || need build-essential
have pkg-config || need pkg-config
# librdkafka speaks TLS through OpenSSL.
{ have pkg-config && pkg-config --exists openssl; } || need libssl-dev
if [ "$purpose" = bench ]; then
    have redis-server || need redis-server
    have redis-benchmark || need redis-tools
    have wrk || need wrk
fi
if [ "$purpose" = test ]; then
    # RocksDB's bindings are made from its headers by libclang.
    find "${LIBCLANG_PATH:-/usr/lib}" /usr/lib /usr/lib64 /usr/local/lib /opt/homebrew/opt/llvm/lib /Library/Developer/CommandLineTools \
        \( -name 'libclang.so*' -o -name 'libclang-[0-9]*.so*' -o -name libclang.dylib \) 2>/dev/null | grep -q . || need libclang-dev
    have redis-server || need redis-server
    # Asks the service by SQL.
    have psql || need postgresql-client
    # `java` may be there and not run (macOS has such a stub).
    java -version >/dev/null 2>&1 || need default-jre-headless
    have python3 || need python3
    # The S3 service of the tests lives in an environment of its own (scripts/services.sh).
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
    # Checks of docker/ and of the page that a machine of a developer may do without: their packages start servers or are large.
    if [ -n "${CI:-}" ]; then
        have chromedriver || need "chromium chromium-driver"
        have promtool || need prometheus
        have go || { have docker && docker compose version >/dev/null 2>&1; } || need golang-go
    fi
    # Kafka's jars come from Maven Central (scripts/services.sh).
    have mvn || need maven
fi

if [ -n "$missing" ]; then
    if ! have apt-get; then
        say "please install what the Debian packages$missing hold:"
        say "  Fedora:  sudo dnf install gcc gcc-c++ make pkgconf openssl-devel clang-devel redis postgresql java-latest-openjdk-headless maven python3"
        say "  macOS:   xcode-select --install; brew install pkgconf openssl llvm redis libpq openjdk maven"
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        root=""
    elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        root="sudo"
    else
        say "please run as root:  apt-get update && apt-get install$missing"
        exit 1
    fi
    say "installing$missing"
    $root apt-get update -qq >&2
    # shellcheck disable=SC2086 # a list of packages
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
fi

if ! have cargo; then
    say "Rust is missing. Get it by rustup (https://rustup.rs), then run this again:"
    say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    exit 1
fi
version=$(rustc --version | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$RUST" "$version" | sort -t. -k1,1n -k2,2n | head -n1)" != "$RUST" ]; then
    say "Rust $version is too old, $RUST or newer is needed:  rustup update stable"
    exit 1
fi
if [ "$purpose" = test ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    say "rustfmt or clippy is missing:  rustup component add rustfmt clippy"
    exit 1
fi
