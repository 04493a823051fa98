-- Two streams in one window.

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

CREATE TABLE clicks (
    at TIMESTAMP NOT NULL,
    item TEXT NOT NULL,
    visitor BIGINT NOT NULL,
    WATERMARK FOR at
) WITH (
    connector = 'single_file',
    path = '${inputs}/clicks.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false'
);

CREATE TABLE output (
    s TIMESTAMP,
    item TEXT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

CREATE VIEW seen AS
SELECT item FROM orders WHERE item <> 'fig'
UNION ALL
SELECT item FROM clicks;

INSERT INTO output
SELECT window.start, item, n FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, item, count(*) AS n FROM seen GROUP BY 1, 2
);
