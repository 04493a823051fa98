-- A full join: what one side alone has comes with NULL.

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
FULL JOIN clicked AS c ON o.item = c.item AND o.window = c.window;
