-- Functions and CASE row by row, without a window.

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
