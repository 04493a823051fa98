-- Which aircraft fly most in four weeks? Some 2,800 take part, and 256 of them are tracked: more would give exact counts,
-- so few show how the bounds hold. The sketch goes out too: sketches of several rows merge.
CREATE TABLE aircraft (
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
    path = '${results}/aircraft.ndjson',
    format = 'json'
);

INSERT INTO aircraft
SELECT
    '${pipeline}.aircraft' AS pipeline,
    ${version} AS version,
    '*' AS "set",
    '*' AS group_key,
    CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
    CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end,
    approx_top_k_estimate(sketch, ${k:5}) AS answer,
    sketch
FROM (
    SELECT tumble(INTERVAL '28 days') AS window, approx_top_k_accumulate(tailnum, ${max_items:256}) AS sketch
    FROM flights
    GROUP BY 1
);
