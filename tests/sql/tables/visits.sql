-- Visits of pages, in the order of their times.
CREATE TABLE visits (
    ts BIGINT NOT NULL,
    who TEXT NOT NULL,
    pages BIGINT NOT NULL,
    time TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR time AS (
        coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '1 second'
    )
) WITH (
    connector = 'single_file',
    path = '${inputs}/visits.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false'
);
