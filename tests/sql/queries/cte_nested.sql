-- CTEs that use each other, and a query in a query.

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
