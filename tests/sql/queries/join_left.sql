-- A left join: what one side alone has comes with NULL.

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

CREATE VIEW ordered AS
SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1, 2;

CREATE VIEW clicked AS
SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM clicks GROUP BY 1, 2;

CREATE TABLE output (
    ordered TEXT,
    clicked TEXT,
    orders BIGINT,
    clicks BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT o.item, c.item, o.n, c.n
FROM ordered AS o
LEFT JOIN clicked AS c ON o.item = c.item AND o.window = c.window;
