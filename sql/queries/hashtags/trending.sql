-- Which hashtags trend in the last minute, every ten seconds, by region? A hop keeps six panes and merges them.
CREATE TABLE trending (
    window_start TIMESTAMP NOT NULL,
    window_end TIMESTAMP NOT NULL,
    region TEXT,
    answer TEXT
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/trending.ndjson',
    format = 'json'
);

INSERT INTO trending
SELECT window.start AS window_start, window.end AS window_end, region, answer
FROM (
    SELECT region, hop(INTERVAL '10 seconds', INTERVAL '1 minute') AS window, approx_top_k(item, ${k:5}) AS answer
    FROM events
    GROUP BY 1, 2
);
