-- The answer by region and five minutes; all items fit, so it is exact.

CREATE TABLE output (
    s TIMESTAMP,
    region TEXT,
    answer TEXT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, region, answer FROM (
    SELECT tumble(INTERVAL '5 minutes') AS window, region, approx_top_k(item, 3) AS answer FROM orders GROUP BY 1, 2
);
