-- Functions and CASE row by row, without a window.

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
    number BIGINT,
    name TEXT,
    size TEXT,
    region TEXT,
    minute TIMESTAMP,
    weight BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT
    number,
    upper(item),
    CASE WHEN amount IS NULL THEN 'none' WHEN amount < 100 THEN 'small' ELSE 'large' END,
    coalesce(region, 'nowhere'),
    date_trunc('minute', time),
    greatest(amount, 0)
FROM orders
WHERE number % 25 = 0;
