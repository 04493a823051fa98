-- A filter on the window stays above it, one on a key goes down to the source.
CREATE TABLE e (t TIMESTAMP NOT NULL, k TEXT, v BIGINT, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'e', type = 'source');
SELECT * FROM (SELECT tumble(INTERVAL '1 minute') AS window, k, count(*) AS n FROM e GROUP BY 1, 2)
WHERE window.start > TIMESTAMP '2020-01-01 00:00:00' AND k = 'x' AND n > 1;
SELECT DISTINCT window, k FROM (SELECT tumble(INTERVAL '1 minute') AS window, k, v, count(*) AS n FROM e GROUP BY 1, 2, 3);
-- Hop of one step is a tumble; a window beside only constants.
SELECT count(*) AS n FROM e GROUP BY hop(INTERVAL '10 seconds', INTERVAL '10 seconds');
SELECT 'all' AS name, k AS k, k AS again, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM e GROUP BY k, 4;
