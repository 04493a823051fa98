-- Which carriers keep their passengers waiting, in minutes of departure delay a week? Early departures and cancelled
-- flights weigh nothing. It counts something else than the other queries, so its answers have a pipeline name of their own.
CREATE TABLE delays (
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    answer TEXT,
    sketch BYTEA
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/delays.ndjson',
    format = 'json'
);

INSERT INTO delays
SELECT
    '${pipeline}.delays' AS pipeline,
    ${version} AS version,
    '*' AS "set",
    '*' AS group_key,
    CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
    CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end,
    approx_top_k_estimate(sketch, ${k:5}) AS answer,
    sketch
FROM (
    SELECT
        tumble(INTERVAL '7 days') AS window,
        approx_top_sum_accumulate(carrier, greatest(dep_delay, 0), ${max_items:256}) AS sketch
    FROM flights
    GROUP BY 1
);
