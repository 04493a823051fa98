-- Which destinations are the busiest, by origin and day?
CREATE TABLE destinations (
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,            -- the dimensions that a row is about
    group_key TEXT NOT NULL,        -- their values; % | = * in a value are percent-encoded
    window_start BIGINT NOT NULL,   -- milliseconds since the epoch
    window_end BIGINT NOT NULL,
    answer TEXT,                    -- JSON: the top K with bounds
    sketch BYTEA                    -- what ranges of days, other K and the course of an item are computed from
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/destinations.ndjson',
    format = 'json'
);

INSERT INTO destinations
SELECT
    '${pipeline}.destinations' AS pipeline,
    ${version} AS version,
    'origin' AS "set",
    'origin=' || replace(replace(replace(replace(origin, '%', '%25'), '|', '%7C'), '=', '%3D'), '*', '%2A') AS group_key,
    CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
    CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end,
    approx_top_k_estimate(sketch, ${k:5}) AS answer,
    sketch
FROM (
    SELECT origin, tumble(INTERVAL '1 day') AS window, approx_top_k_accumulate(dest, ${max_items:256}) AS sketch
    FROM flights
    GROUP BY 1, 2
);
