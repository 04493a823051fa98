-- Columns that may be NULL where the table says NOT NULL.
CREATE TABLE e (t TIMESTAMP NOT NULL, k TEXT, v BIGINT, w BIGINT NOT NULL, doc TEXT NOT NULL, WATERMARK FOR t)
WITH (connector = 'kafka', topic = 'e', type = 'source');
CREATE TABLE out (k TEXT NOT NULL, n BIGINT NOT NULL, most BIGINT NOT NULL) WITH (connector = 'kafka', topic = 'out', type = 'sink');
-- Warned: a key, a sum of nothing, a value out of JSON, the side of an outer join that may be missing.
INSERT INTO out SELECT k, sum(v), max(w) FROM e GROUP BY tumble(INTERVAL '1 minute'), k;
INSERT INTO out (most, n, k) SELECT json_get_int(doc, 'most'), w, json_get_str(doc, 'k') FROM e;
CREATE VIEW minutes AS SELECT tumble(INTERVAL '1 minute') AS window, k, count(*) AS n FROM e WHERE k IS NOT NULL GROUP BY 1, 2;
INSERT INTO out SELECT a.k, a.n, b.n + 0 FROM minutes a LEFT JOIN minutes b ON a.k = b.k AND a.window = b.window;
-- Not warned: filtered, filled, never empty.
INSERT INTO out SELECT upper(k), sum(w), max(v) FROM e WHERE k IS NOT NULL AND v > 0 GROUP BY tumble(INTERVAL '1 minute'), k;
INSERT INTO out SELECT coalesce(k, ''), w, coalesce(nullif(v, 0), 1) FROM e;
INSERT INTO out SELECT CAST(CAST(extract(epoch FROM window.start) AS BIGINT) AS TEXT), n, n + 1 FROM minutes;
INSERT INTO out SELECT approx_top_k(k, 10), count(v), count(DISTINCT v) FROM e GROUP BY tumble(INTERVAL '1 minute');
