-- Two streams in one window.

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
