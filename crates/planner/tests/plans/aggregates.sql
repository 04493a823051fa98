CREATE TABLE m (t TIMESTAMP NOT NULL, i BIGINT, f DOUBLE, d DECIMAL(10, 2), s TEXT, b BOOLEAN, WATERMARK FOR t)
WITH (connector = 'kafka', topic = 'm', type = 'source');
SELECT tumble(INTERVAL '1 minute') AS window,
  count(*) AS a1, count(i) AS a2, count(DISTINCT s) AS a3, sum(i) AS a4, sum(f) AS a5, sum(d) AS a6, avg(i) AS a7, min(f) AS a8,
  max(s) AS a9, bit_and(i) AS a10, bool_or(b) AS a11, first_value(s ORDER BY i) AS a12, array_agg(s) AS a13, median(i) AS a14,
  approx_distinct(s) AS a15, count(*) FILTER (WHERE i > 3) AS a16, sum(DISTINCT i) AS a17, stddev(f) AS a18
FROM m GROUP BY window;
