-- Two minutes every thirty seconds; NULL is a group of its own.

CREATE TABLE output (
    s TIMESTAMP,
    e TIMESTAMP,
    region TEXT,
    amount BIGINT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, window.end, region, amount, n FROM (
    SELECT region, hop(INTERVAL '30 seconds', INTERVAL '2 minutes') AS window, sum(amount) AS amount, count(*) AS n
    FROM orders
    GROUP BY 1, 2
);
