-- Which files make the traffic, in bytes a minute, by location? And which of them are more than one percent of all of it?
CREATE TABLE traffic (
    window_start TIMESTAMP NOT NULL,
    window_end TIMESTAMP NOT NULL,
    region TEXT,
    answer TEXT
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/traffic.ndjson',
    format = 'json'
);

CREATE TABLE heavy (
    window_start TIMESTAMP NOT NULL,
    window_end TIMESTAMP NOT NULL,
    answer TEXT
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/heavy.ndjson',
    format = 'json'
);

CREATE VIEW by_region AS
SELECT
    region,
    tumble(INTERVAL '1 minute') AS window,
    approx_top_sum_accumulate(item, amount, ${max_items:1024}) AS sketch
FROM events
GROUP BY 1, 2;

INSERT INTO traffic
SELECT window.start AS window_start, window.end AS window_end, region, approx_top_k_estimate(sketch, ${k:5}) AS answer
FROM by_region;

-- Sketches of the regions merge into that of all of them, in the same window.
INSERT INTO heavy
SELECT window.start AS window_start, window.end AS window_end, approx_heavy_hitters(sketch, 0.01) AS answer
FROM (
    SELECT window, approx_top_k_combine(sketch) AS sketch FROM by_region GROUP BY window
);
