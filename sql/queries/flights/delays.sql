-- Which carriers keep their passengers waiting, in minutes of departure delay a week? Early departures and cancelled
-- flights weigh nothing.
CREATE TABLE delays (
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    answer TEXT
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/delays.ndjson',
    format = 'json'
);

INSERT INTO delays
SELECT
    '${pipeline}' AS pipeline,
    ${version} AS version,
    '*' AS "set",
    '*' AS group_key,
    CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
    CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end,
    answer
FROM (
    SELECT tumble(INTERVAL '7 days') AS window, approx_top_sum(carrier, greatest(dep_delay, 0), ${k:5}) AS answer
    FROM flights
    GROUP BY 1
);
