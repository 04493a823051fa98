-- Columns that are computed from others.

CREATE TABLE orders (
    ts BIGINT NOT NULL,
    customer TEXT NOT NULL,
    item TEXT NOT NULL,
    price DOUBLE NOT NULL,
    key TEXT NOT NULL GENERATED ALWAYS AS (concat(customer, '/', item)),
    cents BIGINT NOT NULL GENERATED ALWAYS AS (CAST(price * 100 AS BIGINT)),
    time TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP))
) WITH (
    connector = 'single_file',
    path = '${inputs}/orders.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false'
);

CREATE TABLE output (
    key TEXT,
    cents BIGINT,
    time TIMESTAMP
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT key, cents, time FROM orders WHERE customer = 'c9';
