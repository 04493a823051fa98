-- One row for each element of a list; empty lists and NULL give none.

CREATE TABLE output (
    s TIMESTAMP,
    tag TEXT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

CREATE VIEW tagged AS SELECT unnest(tags) AS tag FROM orders;

INSERT INTO output
SELECT window.start, tag, n FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, tag, count(*) AS n FROM tagged GROUP BY 1, 2
);
