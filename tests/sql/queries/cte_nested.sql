-- CTEs that use each other, and a query in a query.

CREATE TABLE output (
    s TIMESTAMP,
    doubled BIGINT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
WITH positive AS (
    SELECT amount FROM orders WHERE amount >= 0
), doubled AS (
    SELECT amount * 2 AS amount FROM positive
)
SELECT window.start, total, n FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, sum(amount) AS total, count(*) AS n
    FROM (SELECT amount FROM doubled) AS inside
    GROUP BY 1
);
