CREATE TABLE rides (t TIMESTAMP NOT NULL, driver BIGINT, kind TEXT, WATERMARK FOR t AS t - INTERVAL '1 minute')
WITH (connector = 'kafka', topic = 'rides', type = 'source');
CREATE TABLE out WITH (connector = 'kafka', topic = 'out', type = 'sink');

CREATE VIEW starts AS SELECT driver, tumble(INTERVAL '1' HOUR) AS window, count(*) AS n FROM rides WHERE kind = 'start' GROUP BY 1, 2;
CREATE VIEW ends AS SELECT driver, tumble(INTERVAL '1' HOUR) AS window, count(*) AS n FROM rides WHERE kind == 'end' GROUP BY 1, 2;

INSERT INTO out
SELECT s.window.start AS opened, s.driver AS driver, s.n AS starts, e.n AS ends
FROM starts s LEFT JOIN ends e ON s.window = e.window AND s.driver = e.driver AND e.n > s.n;

-- The window need not stand in the condition; a comma joins too.
SELECT a.driver AS a, b.driver AS b FROM starts a JOIN ends b ON a.n = b.n + 1;
SELECT a.driver AS a, b.driver AS b FROM starts a, ends b WHERE a.window.start = b.window.start AND a.n >= b.n;
SELECT coalesce(a.driver, b.driver) AS driver FROM starts a FULL JOIN ends b USING (driver);

-- The largest of a window beside those that reach it.
SELECT x.driver AS driver, x.n AS n FROM starts x JOIN (SELECT max(n) AS best, window FROM starts GROUP BY window) y
ON x.window = y.window AND x.n >= y.best;
