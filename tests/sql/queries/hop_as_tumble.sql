-- A hop as wide as its slide is a tumble.

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
SELECT window.start, n FROM (
    SELECT hop(INTERVAL '1 minute', INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1
);
