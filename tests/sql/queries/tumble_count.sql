-- Counts and sums by item and minute.

-- Orders, up to twelve seconds out of order.
CREATE TABLE orders (
    ts BIGINT NOT NULL,
    number BIGINT NOT NULL,
    customer TEXT NOT NULL,
    item TEXT NOT NULL,
    region TEXT,
    amount BIGINT,
    price DOUBLE,
    tags TEXT[],
    time TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR time AS (
        coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '15 seconds'
    )
) WITH (
    connector = 'single_file',
    path = '${inputs}/orders.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false'
);

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
