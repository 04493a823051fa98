CREATE TABLE hits (
  ts BIGINT NOT NULL, page TEXT NOT NULL,
  t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
  WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 seconds')
) WITH (connector = 'kafka', topic = 'hits', type = 'source', format = 'json', 'source.offset' = 'earliest');

CREATE TABLE top (k TEXT NOT NULL, rank TEXT NOT NULL, page TEXT, n BIGINT)
WITH (connector = 'redis', target = 'hash', 'target.key_column' = 'k', 'target.field_column' = 'rank');

INSERT INTO top
SELECT CAST(CAST(extract(epoch FROM window.start) AS BIGINT) AS TEXT), CAST(rank AS TEXT), page, n FROM (
  SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, page) AS rank FROM (
    SELECT page, hop(INTERVAL '10 seconds', INTERVAL '1' MINUTE) AS window, count(*) AS n FROM hits GROUP BY page, window)
) WHERE rank <= 10;

-- The best of each: the equality stays, with a bound for the state.
SELECT page, n FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window ORDER BY n DESC) AS rank FROM (
    SELECT page, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM hits GROUP BY 1, 2)
) WHERE rank = 1;
