CREATE TABLE a (x BIGINT NOT NULL, s TEXT, t TIMESTAMP NOT NULL, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'a', type = 'source');
CREATE TABLE b (x INT, t TIMESTAMP NOT NULL, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'b', type = 'source');
CREATE TABLE out (x BIGINT, label TEXT) WITH (connector = 'kafka', topic = 'out', type = 'sink');

INSERT INTO out SELECT x, 'a' FROM a WHERE x > 3 UNION ALL SELECT x, 'b' FROM b UNION ALL SELECT x, s FROM a;

-- A table that several statements write is opened once.
CREATE TABLE even (x BIGINT) WITH (connector = 'kafka', topic = 'even', type = 'sink');
INSERT INTO even SELECT x FROM a WHERE x % 2 = 0;
INSERT INTO even (x) SELECT x FROM b WHERE x % 2 = 0;

-- Windows hold through a union.
SELECT sum(n) AS n, window FROM (
  SELECT count(*) AS n, tumble(INTERVAL '1 minute') AS window FROM a GROUP BY 2
  UNION ALL SELECT count(*) AS n, tumble(INTERVAL '1 minute') AS window FROM b GROUP BY 2
) GROUP BY window;
