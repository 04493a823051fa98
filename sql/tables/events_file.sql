-- The events of events.sql from a file, so that a query can be tried without Kafka and Redis: pipelines/file.toml.
CREATE TABLE events (
    ts BIGINT NOT NULL,
    item TEXT NOT NULL,
    category TEXT,
    region TEXT,
    "user" TEXT,
    amount BIGINT,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    -- The watermark must not be NULL on Arroyo, hence coalesce.
    WATERMARK FOR t AS (
        coalesce(
            CAST(to_timestamp_millis(ts) AS TIMESTAMP) - INTERVAL '${delay:2 seconds}',
            TIMESTAMP '1970-01-01 00:00:00'
        )
    )
) WITH (
    connector = 'single_file',
    type = 'source',
    path = '${events}',
    format = 'json',
    wait_for_control = 'false'
);
