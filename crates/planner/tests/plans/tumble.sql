CREATE TABLE flights (
  scheduled TIMESTAMP NOT NULL, origin TEXT NOT NULL, destination TEXT, carrier TEXT, dep_delay BIGINT, distance BIGINT,
  WATERMARK FOR scheduled AS (scheduled - INTERVAL '1 hour')
) WITH (connector = 'single_file', path = 'flights.json', type = 'source', format = 'json');

CREATE TABLE delays (opened TIMESTAMP, origin TEXT, flights BIGINT, minutes BIGINT, longest BIGINT, mean DOUBLE)
WITH (connector = 'single_file', path = 'delays.json', type = 'sink', format = 'json');

-- One aggregate is never read: the source must not decode its column.
INSERT INTO delays
SELECT window.start, origin, flights, minutes, longest, mean FROM (
  SELECT tumble(INTERVAL '1 day') AS window, origin, count(*) AS flights, sum(greatest(dep_delay, 0)) AS minutes,
         max(dep_delay) AS longest, avg(dep_delay) AS mean, sum(distance) AS unused
  FROM flights WHERE destination IS NOT NULL GROUP BY 1, 2
) WHERE flights > 10;
