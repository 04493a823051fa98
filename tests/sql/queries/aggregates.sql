-- The aggregate functions over whole minutes; NULL does not count.

CREATE TABLE output (
    s TIMESTAMP,
    rows BIGINT,
    amounts BIGINT,
    low BIGINT,
    high BIGINT,
    mean DOUBLE,
    customers BIGINT,
    price DOUBLE,
    any_asia BOOLEAN
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, rows, amounts, low, high, mean, customers, price, any_asia FROM (
    SELECT
        tumble(INTERVAL '1 minute') AS window,
        count(*) AS rows,
        count(amount) AS amounts,
        min(amount) AS low,
        max(amount) AS high,
        avg(amount) AS mean,
        count(DISTINCT customer) AS customers,
        sum(price) AS price,
        bool_or(region = 'asia') AS any_asia
    FROM orders
    GROUP BY 1
);
