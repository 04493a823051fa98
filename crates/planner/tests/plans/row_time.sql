-- The time of a row: the event time of events, the end of windows; carried up where a query dropped it.
CREATE TABLE e (ts BIGINT NOT NULL, k TEXT, v BIGINT, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
  WATERMARK FOR t) WITH (connector = 'kafka', topic = 'e', type = 'source');
CREATE VIEW small AS SELECT k, v + 1 AS w FROM e WHERE v < 10;
CREATE VIEW minutes AS SELECT tumble(INTERVAL '1 minute') AS window, k, count(*) AS n FROM e GROUP BY 1, 2;
SELECT row_time() AS at, k FROM e WHERE v > 3;
SELECT w, date_trunc('hour', row_time()) AS hour FROM small AS s WHERE k = 'x';
SELECT row_time() AS at, n FROM (SELECT k, n FROM minutes WHERE n > 1);
SELECT row_time() AS outer, inner FROM (SELECT row_time() AS inner, w FROM small);
