-- A view over a view, filtered twice.

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

CREATE VIEW european AS SELECT ts, time, item, amount FROM orders WHERE region = 'eu';

CREATE VIEW dear AS SELECT item, amount FROM european WHERE amount > 100;

CREATE TABLE output (
    s TIMESTAMP,
    n BIGINT,
    most BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, n, most FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, count(*) AS n, max(amount) AS most FROM dear GROUP BY 1
);
