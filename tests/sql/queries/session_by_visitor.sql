-- Sessions by visitor: a pause of a minute ends one.

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
    who TEXT,
    s TIMESTAMP,
    e TIMESTAMP,
    visits BIGINT,
    pages BIGINT,
    longest BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT who, window.start, window.end, visits, pages, longest FROM (
    SELECT who, session(INTERVAL '1 minute') AS window, count(*) AS visits, sum(pages) AS pages, max(pages) AS longest
    FROM visits
    GROUP BY who, window
);
