-- Sessions without a key.

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

CREATE TABLE output (
    s TIMESTAMP,
    e TIMESTAMP,
    visits BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, window.end, visits FROM (
    SELECT session(INTERVAL '30 seconds') AS window, count(*) AS visits FROM visits GROUP BY 1
);
