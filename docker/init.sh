#!/bin/sh
# Makes what the compose file needs once, before the first start: secrets of 256 random bits each, and .env.
#
#     docker/init.sh                # one Kafka broker
#     docker/init.sh --brokers 3    # three, each row on three of them
#
# What is there already is left as it is: run it again after an upgrade, and it adds what is new.
set -eu
cd "$(dirname "$0")"

brokers=1
case ${1:-} in
"") ;;
--brokers) brokers=${2:-} ;;
*) brokers="" ;;
esac
if [ "$brokers" != 1 ] && [ "$brokers" != 3 ]; then
    echo "usage: docker/init.sh [--brokers 1|3]" >&2
    exit 2
fi

# The folder keeps other users of this machine out. The files themselves are mounted into containers, whose users are others.
mkdir -p secrets
chmod 0700 secrets
for name in arroyo_api_key grafana_password redis_password; do
    if ! [ -s "secrets/$name" ]; then
        head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"secrets/$name.new"
        chmod 0444 "secrets/$name.new"
        mv "secrets/$name.new" "secrets/$name"
        echo "init: made secrets/$name" >&2
    fi
done

if [ -s .env ]; then
    echo "init: .env is there and stays as it is" >&2
    exit 0
fi
# Kafka's id of a cluster: a UUID in the base64 of URLs. The first character is never a dash, which a shell takes for an option.
id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/x/')
{
    echo "# Made by init.sh. Settings of compose.yaml; secrets are in secrets/."
    echo "KAFKA_CLUSTER_ID=$id"
    if [ "$brokers" = 3 ]; then
        echo "COMPOSE_PROFILES=three"
        echo "KAFKA_VOTERS=1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093"
        echo "KAFKA_BROKERS=kafka-1:19092,kafka-2:19092,kafka-3:19092"
        echo "KAFKA_REPLICATION=3"
        echo "KAFKA_MIN_ISR=2"
    fi
} >.env.new
mv .env.new .env
echo "init: made .env for $brokers broker(s). Next: docker compose up --detach --wait" >&2
