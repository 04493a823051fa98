-- Counts and sums by item and minute.

CREATE TABLE output (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    item TEXT,
    orders BIGINT,
    amount BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, window.end, item, orders, amount FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, item, count(*) AS orders, sum(amount) AS amount
    FROM orders
    GROUP BY window, item
);
