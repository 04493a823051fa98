CREATE TABLE raw (
  value TEXT NOT NULL,
  t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP)) STORED,
  part INT NOT NULL METADATA FROM 'partition',
  off BIGINT NOT NULL METADATA FROM 'offset_id',
  watermark FOR t AS coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
) WITH (connector = 'kafka', topic = 'raw', type = 'source', format = 'raw_string');

CREATE VIEW events AS SELECT json_get_str(value, 'item') AS item, value->'price' AS price, value->>'shop' AS shop FROM raw
WHERE json_get_int(value, 'ts') IS NOT NULL;
SELECT item, tumble('5 seconds') AS window, count(*) AS n, sum(CAST(json_get_int(item, 'x') AS BIGINT)) AS s FROM events GROUP BY item, window;
SELECT price, shop FROM events;
SELECT part, max(off) AS off, tumble(INTERVAL '1 minute') AS window FROM raw GROUP BY part, window;
