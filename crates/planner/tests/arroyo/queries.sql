CREATE TABLE e (item TEXT NOT NULL, kind TEXT, n BIGINT NOT NULL, value TEXT, words TEXT[], t TIMESTAMP NOT NULL, WATERMARK FOR t AS (t - INTERVAL '1 second')) WITH (connector = 'kafka', type = 'source', topic = 'e', format = 'json', bad_data = 'fail', client_configs = 'queued.min.messages=1000000');
CREATE TABLE f (item TEXT NOT NULL) WITH (connector = 'single_file', type = 'source', path = 'f.json', format = 'json', wait_for_control = 'false');
CREATE TABLE strings (key TEXT NOT NULL, x TEXT) WITH (connector = 'redis', type = 'sink', address = 'redis://r', format = 'json', target = 'string', 'target.key_prefix' = 's:', 'target.key_column' = 'key');
CREATE TABLE memory (item TEXT);
-- case: aliases of functions
SELECT length(item) AS a, pow(n, 2) AS b, trim(item) AS c, nvl(kind, '') AS d, ifnull(kind, '') AS e FROM e;
-- case: functions that it lacks
SELECT array_sum(make_array(n, n)) AS a, json_get_array(value, 'x') AS b FROM e;
-- case: fine, functions that it has
SELECT character_length(item) AS a, power(n, 2) AS b, btrim(item) AS c, TRIM(BOTH 'x' FROM item) AS d, extract(hour FROM t) AS e, substring(item, 1, 2) AS f, item || '!' AS g, position('a' IN item) AS h, ceil(1.5) AS i FROM e;
-- case: a join by columns in common
SELECT a.n AS x FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n, item FROM e GROUP BY 1, item) a JOIN (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS m, item FROM e GROUP BY 1, item) b USING (item);
-- case: QUALIFY
SELECT item, row_number() OVER (PARTITION BY w ORDER BY n DESC, item) AS rn FROM (SELECT tumble(INTERVAL '1 minute') AS w, item, count(*) AS n FROM e GROUP BY 1, 2) QUALIFY rn <= 3;
-- case: unnest twice
SELECT unnest(words) AS a, unnest(words) AS b FROM e;
-- case: unnest of a path
SELECT unnest(extract_json(value, '$.a[*]')) AS a FROM e;
-- case: a path that is a column
SELECT extract_json_string(value, kind) AS a FROM e;
-- case: whole numbers cast to a time
SELECT CAST(n AS TIMESTAMP) AS a FROM e;
-- case: fine, times with their unit
SELECT CAST(to_timestamp_millis(n) AS TIMESTAMP) AS a, to_timestamp_seconds(n) AS b, CAST(value AS TIMESTAMP) AS c FROM e;
-- case: JSON as a key
SELECT k, n FROM (SELECT value->'kind' AS k, tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1, 2);
-- case: columns of one name
CREATE VIEW v AS SELECT a.n, b.n FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) a JOIN (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) b ON a.w = b.w;
SELECT item FROM e;
-- case: the window of a join
SELECT w, sum(x) AS s FROM (SELECT a.w AS w, a.n + b.n AS x FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) a JOIN (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) b ON a.w = b.w) GROUP BY w;
-- case: fine, the window of a join called again
SELECT tumble(INTERVAL '1 minute') AS w, sum(x) AS s FROM (SELECT a.n + b.n AS x FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) a JOIN (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) b ON a.w = b.w) GROUP BY 1;
-- case: numbers above a join
SELECT row_number() OVER (PARTITION BY w ORDER BY x) AS rn FROM (SELECT a.w AS w, a.n + b.n AS x FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) a JOIN (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e GROUP BY 1) b ON a.w = b.w);
-- case: groups above a union of windows, in a view
CREATE VIEW both AS SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e WHERE kind = 'a' GROUP BY 1 UNION ALL SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e WHERE kind = 'b' GROUP BY 1;
SELECT w, sum(n) AS s FROM both GROUP BY w;
-- case: fine, a union of windows that goes on its way
CREATE VIEW both AS SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e WHERE kind = 'a' GROUP BY 1 UNION ALL SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e WHERE kind = 'b' GROUP BY 1;
SELECT w, n FROM both;
-- case: numbers above a union of windows
SELECT row_number() OVER (PARTITION BY w ORDER BY n) AS rn FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e WHERE kind = 'a' GROUP BY 1 UNION ALL SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM e WHERE kind = 'b' GROUP BY 1);
-- case: two numbers in one order
SELECT item, row_number() OVER (PARTITION BY w ORDER BY item) AS a, row_number() OVER (PARTITION BY w ORDER BY item ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS b FROM (SELECT tumble(INTERVAL '1 minute') AS w, item, count(*) AS n FROM e GROUP BY 1, 2);
-- case: ties
SELECT item, row_number() OVER (PARTITION BY w ORDER BY n DESC) AS a, row_number() OVER (PARTITION BY w ORDER BY n DESC, item) AS b FROM (SELECT tumble(INTERVAL '1 minute') AS w, item, count(*) AS n FROM e GROUP BY 1, 2);
-- case: a window twice in PARTITION BY
SELECT item, row_number() OVER (PARTITION BY w, w ORDER BY n DESC, item) AS a FROM (SELECT tumble(INTERVAL '1 minute') AS w, item, count(*) AS n FROM e GROUP BY 1, 2);
-- case: fine, the top of each window
SELECT w, item, n FROM (SELECT *, row_number() OVER (PARTITION BY w ORDER BY n DESC, item) AS rn FROM (SELECT tumble(INTERVAL '1 minute') AS w, item, count(*) AS n FROM e GROUP BY 1, 2)) WHERE rn <= 3;
-- case: what functions keep
SELECT tumble(INTERVAL '1 minute') AS w, approx_top_k(item, 10) AS a FROM e GROUP BY 1;
SELECT hop(INTERVAL '1 minute', INTERVAL '1 hour') AS w, approx_top_sum_accumulate(item, n, 100) AS a FROM e GROUP BY 1;
SELECT session(INTERVAL '1 minute') AS w, count_min_accumulate(item, 0.01, 0.01) AS a FROM e GROUP BY 1;
-- case: fine, sketches of record batches
CREATE VIEW s AS SELECT approx_top_k_batch(item, concat(CAST(date_trunc('minute', t) AS TEXT), ''), 100) AS sketch FROM e;
SELECT w, approx_top_k_estimate(sketch, 10) AS a FROM (SELECT tumble(INTERVAL '1 minute') AS w, approx_top_k_combine(sketch) AS sketch FROM s WHERE sketch IS NOT NULL GROUP BY 1);
-- case: items that are numbers
SELECT tumble(INTERVAL '1 minute') AS w, approx_top_k(n, 100) AS a FROM e GROUP BY 1;
-- case: rows that end go to Redis
INSERT INTO strings SELECT item, upper(item) AS x FROM f;
-- case: a key that may be NULL
INSERT INTO strings SELECT kind, item FROM e;
-- case: fine, a key that is there
INSERT INTO strings SELECT coalesce(kind, '?'), item FROM e;
-- case: a list
CREATE TABLE list (x TEXT) WITH (connector = 'redis', type = 'sink', address = 'redis://r', format = 'json', target = 'list', 'target.key_prefix' = 'l');
INSERT INTO list SELECT item FROM e;
-- case: memory written twice
INSERT INTO memory SELECT item FROM e;
INSERT INTO memory SELECT kind FROM e;
SELECT item FROM memory;
-- case: a table that takes its columns from two queries
CREATE TABLE out WITH (connector = 'stdout', format = 'json');
INSERT INTO out SELECT item, n FROM e;
INSERT INTO out SELECT item, CAST(n AS DOUBLE) AS n FROM e;
-- case: a view that several queries read
CREATE VIEW v AS SELECT item FROM f;
SELECT item AS a FROM v;
SELECT item AS b FROM v WHERE item > 'a';
-- case: fine, a view that one query reads, and one that nobody reads
CREATE VIEW v AS SELECT item FROM f;
CREATE VIEW w AS SELECT item FROM v;
SELECT item AS a FROM v;
-- case: fine, a union that several queries read
CREATE VIEW u AS SELECT item FROM e UNION ALL SELECT item FROM f;
SELECT item AS a FROM u;
SELECT item AS b FROM u WHERE item > 'a';
