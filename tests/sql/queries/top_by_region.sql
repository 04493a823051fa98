-- The most ordered item by region and minute.

CREATE TABLE output (
    s TIMESTAMP,
    region TEXT,
    item TEXT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, region, item, n FROM (
    SELECT *, row_number() OVER (PARTITION BY window, region ORDER BY n DESC, item) AS rank FROM (
        SELECT region, item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1, 2, 3
    )
) WHERE rank = 1;
