-- The exact top items of a minute, one row each: count(*) by item, then the first ranks of the window. Right where items are few
-- (thousands) or an audit asks for it: it keeps a count of every item of the window, where a sketch keeps a fixed number.
CREATE TABLE exact_top (
    rank TEXT NOT NULL,
    item TEXT NOT NULL,
    n BIGINT NOT NULL,
    window_start BIGINT NOT NULL
) WITH (
    connector = 'redis',
    type = 'sink',
    address = '${redis:redis://127.0.0.1:6379}',
    format = 'json',
    target = 'hash',
    'target.key_prefix' = 'hh:${pipeline}:v${version}:exact',
    'target.field_column' = 'rank'
);

INSERT INTO exact_top
SELECT
    CAST(rn AS TEXT) AS rank,
    item,
    n,
    CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start
FROM (
    SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, item) AS rn
    FROM (
        SELECT coalesce(item, '') AS item, tumble(INTERVAL '1 minute') AS window, count(*) AS n
        FROM events
        WHERE item IS NOT NULL
        GROUP BY 1, 2
    )
)
WHERE rn <= ${k:10};
