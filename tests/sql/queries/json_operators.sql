-- Parts of a JSON column, by functions and by operators, without a window.

CREATE TABLE orders (
    ts BIGINT NOT NULL,
    number BIGINT NOT NULL,
    detail JSON NOT NULL
) WITH (
    connector = 'single_file',
    path = '${inputs}/orders.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false'
);

CREATE TABLE output (
    number BIGINT,
    color TEXT,
    cm BIGINT,
    has BOOLEAN
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT number, detail ->> 'color', json_get_int(detail, 'size', 'cm'), json_contains(detail, 'size')
FROM orders
WHERE json_get_int(detail, 'size', 'cm') > 6;
