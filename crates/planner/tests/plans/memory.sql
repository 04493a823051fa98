CREATE TABLE cars (timestamp TIMESTAMP, driver_id BIGINT, event_type TEXT, location TEXT, WATERMARK FOR timestamp)
WITH (connector = 'single_file', path = 'cars.json', type = 'source', format = 'json');
CREATE TABLE kept (kind TEXT, driver TEXT);
INSERT INTO kept SELECT event_type, driver_id FROM cars WHERE location = 'north';
INSERT INTO kept (driver) SELECT driver_id FROM cars WHERE location = 'south';
SELECT driver, kind FROM kept WHERE kind <> 'stop';

CREATE TABLE hourly AS (SELECT count(*) AS n, tumble(INTERVAL '1 hour') AS window FROM cars GROUP BY 2);
CREATE VIEW renamed (cars, hours) AS SELECT n, window FROM hourly;
WITH busy AS (SELECT * FROM renamed WHERE cars > 100) SELECT hours.end AS closed, cars FROM busy;
