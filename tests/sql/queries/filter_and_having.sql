-- An aggregate over some of the rows, and a condition on groups.

CREATE TABLE output (
    s TIMESTAMP,
    item TEXT,
    n BIGINT,
    dear BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, item, n, dear FROM (
    SELECT
        item,
        tumble(INTERVAL '1 minute') AS window,
        count(*) AS n,
        count(*) FILTER (WHERE amount > 500) AS dear
    FROM orders
    GROUP BY 1, 2
    HAVING count(*) > 4
);
