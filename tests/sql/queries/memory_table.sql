-- A table in memory hands rows from one statement to the next.

CREATE TABLE small (
    region TEXT,
    amount BIGINT
);

CREATE TABLE output (
    s TIMESTAMP,
    region TEXT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO small SELECT region, amount FROM orders WHERE amount < 50;

INSERT INTO output
SELECT window.start, region, n FROM (
    SELECT region, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM small GROUP BY 1, 2
);
