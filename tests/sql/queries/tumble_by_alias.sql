-- A window alone, grouped by its call, its name in the SELECT being another.

CREATE TABLE output (
    s TIMESTAMP,
    orders BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT w.start AS s, n FROM (
    SELECT count(*) AS n, tumble(INTERVAL '60 seconds') AS w FROM orders GROUP BY tumble(INTERVAL '60 seconds')
);
