-- Orders and clicks of the same minute and item.

CREATE VIEW ordered AS
SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1, 2;

CREATE VIEW clicked AS
SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM clicks GROUP BY 1, 2;

CREATE TABLE output (
    s TIMESTAMP,
    item TEXT,
    orders BIGINT,
    clicks BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT o.window.start, o.item, o.n, c.n
FROM ordered AS o
JOIN clicked AS c ON o.item = c.item AND o.window = c.window;
