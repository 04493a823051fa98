-- One row a window that holds its top two as a list.

CREATE TABLE output (
    s TIMESTAMP,
    top STRUCT<item TEXT, n BIGINT>[]
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, top FROM (
    SELECT window, array_agg(named_struct('item', item, 'n', n) ORDER BY n DESC, item) AS top FROM (
        SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, item) AS rank FROM (
                SELECT item, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM orders GROUP BY 1, 2
            )
        ) WHERE rank <= 2
    )
    GROUP BY window
);
