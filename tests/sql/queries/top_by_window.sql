-- The three most ordered items of each minute, exactly.

CREATE TABLE output (
    s TIMESTAMP,
    rank BIGINT,
    item TEXT,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, CAST(rank AS BIGINT), item, n FROM (
    SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, item) AS rank FROM (
        SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1, 2
    )
) WHERE rank <= 3;
