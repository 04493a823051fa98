CREATE TABLE e (t TIMESTAMP NOT NULL, k TEXT, v BIGINT, "Mixed" TEXT, tags TEXT[], links TEXT[], WATERMARK FOR t) WITH (connector = 'kafka', topic = 'e', type = 'source');
CREATE TABLE out (k TEXT NOT NULL, n BIGINT) WITH (connector = 'kafka', topic = 'out', type = 'sink');

-- case: a word that is not SQL
SELEC v FROM e;
-- case: an unclosed text
SELECT v FROM e WHERE k = 'x;
-- case: nothing behind FROM
SELECT v FROM;
-- case: unknown table
SELECT v FROM events;
-- case: unknown column
SELECT k,
  vv FROM e;
-- case: a column in mixed case
SELECT Mixed FROM e;
-- case: unknown function
SELECT k, frobnicate(v) FROM e;
-- case: almost a function
SELECT k, lenght(k) FROM e;
-- case: wrong arguments
SELECT date_trunc(v, k) FROM e;
-- case: types that do not meet
SELECT k + t FROM e;
-- case: the same name twice
SELECT v, v FROM e;
-- case: too few columns for the table
INSERT INTO out SELECT k FROM e;
-- case: a type that cannot be written
INSERT INTO out SELECT k, tags FROM e;
-- case: a column of the table is not named
INSERT INTO out (n) SELECT v FROM e;
-- case: an unknown column is named
INSERT INTO out (k, m) SELECT k, v FROM e;
-- case: writing a source
INSERT INTO e SELECT * FROM e;
-- case: reading a sink
SELECT * FROM out;
-- case: writing an unknown table
INSERT INTO outt SELECT k, v FROM e;
-- case: reading an empty memory table
CREATE TABLE m (x BIGINT);
SELECT x FROM m;
-- case: writing a memory table that was read
CREATE TABLE m (x BIGINT);
INSERT INTO m SELECT v FROM e;
SELECT x FROM m;
INSERT INTO m SELECT v + 1 FROM e;
-- case: an unused view with a fault
CREATE VIEW w AS SELECT k, count(*) AS n FROM e GROUP BY k;
SELECT v FROM e;
-- case: order
SELECT v FROM e ORDER BY v;
-- case: limit
SELECT v FROM e LIMIT 10;
-- case: a subquery as a value
SELECT v FROM e WHERE v > (SELECT max(v) FROM e);
-- case: membership in a subquery
SELECT v FROM e WHERE k IN (SELECT k FROM e);
-- case: values
INSERT INTO out VALUES ('a', 1);
-- case: no table
SELECT 1;
-- case: other statements
DROP TABLE e;
SET updating_ttl = INTERVAL '5 seconds';
EXPLAIN SELECT v FROM e;
-- case: two lists
SELECT unnest(tags) AS a, unnest(links) AS b FROM e;
-- case: a list that is none
SELECT unnest(k) AS a FROM e;
-- case: a recursive query
WITH RECURSIVE r AS (SELECT v FROM e UNION ALL SELECT v FROM r) SELECT * FROM r;
-- case: distinct without a window
SELECT DISTINCT k FROM e;
-- case: set operations
SELECT k FROM e EXCEPT SELECT k FROM e;
