CREATE TABLE e (t TIMESTAMP NOT NULL, k TEXT, v BIGINT, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'e', type = 'source');
CREATE VIEW minutes AS SELECT k, tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM e GROUP BY 1, 2;
CREATE VIEW hours AS SELECT k, tumble(INTERVAL '1 hour') AS window, count(*) AS n FROM e GROUP BY 1, 2;
CREATE VIEW visits AS SELECT k, session(INTERVAL '5 minutes') AS window, count(*) AS n FROM e GROUP BY 1, 2;

-- case: no window
SELECT k, count(*) FROM e GROUP BY k;
-- case: no group at all
SELECT count(*) FROM e;
-- case: a window that nobody groups by
SELECT hop(INTERVAL '1 second', INTERVAL '10 seconds') AS window, count(*) FROM e;
-- case: a window of single rows
SELECT tumble(INTERVAL '1 second') AS window, v FROM e;
-- case: a window in WHERE
SELECT k FROM e WHERE tumble(INTERVAL '1 second').start > TIMESTAMP '2020-01-01 00:00:00';
-- case: a width between slides
SELECT count(*), hop(INTERVAL '40' MINUTE, INTERVAL '1' HOUR) AS window FROM e GROUP BY 2;
-- case: months
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '1 month');
-- case: zero
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '0 seconds');
-- case: backwards
SELECT count(*) FROM e GROUP BY hop(INTERVAL '-1 second', INTERVAL '10 seconds');
-- case: tumble backwards
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '-1 minute');
-- case: a hop of no width
SELECT count(*) FROM e GROUP BY hop(INTERVAL '10 seconds', INTERVAL '0 seconds');
-- case: a hop of no slide
SELECT count(*) FROM e GROUP BY hop(INTERVAL '0 seconds', INTERVAL '10 seconds');
-- case: width before slide
SELECT count(*) FROM e GROUP BY hop(INTERVAL '1 minute', INTERVAL '10 seconds');
-- case: a session without a gap
SELECT count(*) FROM e GROUP BY session(INTERVAL '0 seconds');
-- case: the time of a row in WHERE
SELECT v FROM e WHERE row_time() > TIMESTAMP '2020-01-01 00:00:00';
-- case: the time of a row of a table without one
CREATE TABLE plain (v BIGINT) WITH (connector = 'kafka', topic = 'plain', type = 'source');
SELECT row_time() AS t, v FROM plain;
-- case: the time of a row in a declaration
CREATE TABLE d (v BIGINT, t TIMESTAMP GENERATED ALWAYS AS (row_time())) WITH (connector = 'kafka', topic = 'd', type = 'source');
SELECT v FROM d;
-- case: the time of a row of two tables
SELECT row_time() AS t, v FROM (SELECT v FROM e UNION ALL SELECT v + 1 AS v FROM e);
-- case: too long
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '200000 days');
-- case: not an interval
SELECT count(*) FROM e GROUP BY tumble('a minute');
-- case: not a constant
SELECT count(*) FROM e GROUP BY tumble(v * INTERVAL '1 second');
-- case: one argument too many
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '1 second', INTERVAL '2 seconds');
-- case: two windows
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '1 second'), tumble(INTERVAL '2 seconds');
-- case: the start of a call
SELECT count(*) FROM e GROUP BY tumble(INTERVAL '1 second').start;
-- case: another window above
SELECT count(*) AS n, tumble(INTERVAL '2 minutes') AS window FROM minutes GROUP BY 2;
-- case: no window above
SELECT k, sum(n) FROM minutes GROUP BY k;
-- case: sessions again
SELECT count(*) AS n FROM (SELECT k, n FROM visits) GROUP BY session(INTERVAL '5 minutes');
-- case: numbers of single rows
SELECT *, row_number() OVER (PARTITION BY k ORDER BY v) AS rn FROM e;
-- case: numbers across windows
SELECT *, row_number() OVER (PARTITION BY k ORDER BY n) AS rn FROM minutes;
-- case: numbers in sessions
SELECT *, row_number() OVER (PARTITION BY window ORDER BY n) AS rn FROM visits;
-- case: another window function
SELECT *, rank() OVER (PARTITION BY window ORDER BY n) AS r FROM minutes;
-- case: a running sum
SELECT *, sum(n) OVER (PARTITION BY window ORDER BY n) AS s FROM minutes;
-- case: a join of streams
SELECT a.v AS x, b.v AS y FROM e a JOIN e b ON a.k = b.k;
-- case: a join of a stream and windows
SELECT a.v AS x, b.n AS y FROM e a JOIN minutes b ON a.k = b.k;
-- case: a join of different windows
SELECT a.n AS x, b.n AS y FROM minutes a JOIN hours b ON a.k = b.k;
-- case: a join of sessions
SELECT a.n AS x, b.n AS y FROM visits a JOIN visits b ON a.k = b.k;
-- case: a join that only filters
SELECT a.n AS x FROM minutes a LEFT SEMI JOIN minutes b ON a.k = b.k;
-- case: grouping sets
SELECT k, count(*) FROM e GROUP BY GROUPING SETS ((k), ());
-- case: a group of mixed windows
SELECT count(*) FROM (SELECT k, window FROM minutes UNION ALL SELECT k, window FROM hours) GROUP BY window;
-- case: order inside of nth_value
SELECT nth_value(v, 2 ORDER BY v) FROM e GROUP BY tumble(INTERVAL '1 second');
