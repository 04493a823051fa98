CREATE TABLE hits (ts BIGINT NOT NULL, item TEXT NOT NULL, region TEXT, bytes BIGINT,
  t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
  WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '1 second'))
WITH (connector = 'kafka', topic = 'hits', type = 'source', format = 'json');

SELECT tumble(INTERVAL '10 seconds') AS window, approx_top_k(item, 100) AS answer FROM hits GROUP BY 1;

-- The shape for Arroyo: a sketch of each record batch, merged in the window. Here: an aggregate over the rows.
CREATE VIEW sketches AS
SELECT region, approx_top_k_batch(item, CAST(ts / 10000 AS TEXT), 1024) AS s FROM hits WHERE item <> '';
SELECT window.start AS opened, region, approx_top_k_estimate(s, 10) AS answer FROM (
  SELECT region, tumble(INTERVAL '10 seconds') AS window, approx_top_k_combine(s) AS s
  FROM sketches WHERE s IS NOT NULL AND region <> 'test' GROUP BY 1, 2);
SELECT tumble(INTERVAL '10 seconds') AS window,
  approx_top_k_combine(approx_top_sum_batch(item, bytes, CAST(ts / 10000 AS TEXT), 512)) FILTER (WHERE bytes > 0) AS s
FROM hits GROUP BY 1;

-- By region, then all regions of the same window.
SELECT window.start AS opened, approx_top_k_combine(s) AS sketch FROM (
  SELECT region, tumble(INTERVAL '1 minute') AS window, approx_top_k_accumulate(item, 256) AS s FROM hits GROUP BY 1, 2)
GROUP BY window;
