-- Weights: NULL and negative ones are skipped and counted as such.

CREATE TABLE output (
    s TIMESTAMP,
    answer TEXT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, answer FROM (
    SELECT tumble(INTERVAL '5 minutes') AS window, approx_top_sum(item, amount, 2) AS answer FROM orders GROUP BY 1
);
