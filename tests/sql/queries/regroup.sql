-- Groups of groups in the same window.

CREATE TABLE output (
    s TIMESTAMP,
    items BIGINT,
    most BIGINT,
    orders BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, items, most, orders FROM (
    SELECT window, count(*) AS items, max(n) AS most, sum(n) AS orders FROM (
        SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1, 2
    )
    GROUP BY window
);
