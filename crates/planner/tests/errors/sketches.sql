CREATE TABLE e (t TIMESTAMP NOT NULL, k TEXT, v BIGINT, price DOUBLE, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'e', type = 'source');

-- case: weights that are not whole
SELECT approx_top_sum(k, price, 10) FROM e GROUP BY tumble(INTERVAL '1 minute');
-- case: k below one
SELECT approx_top_k(k, 0) FROM e GROUP BY tumble(INTERVAL '1 minute');
-- case: too few arguments
SELECT approx_top_k(k) FROM e GROUP BY tumble(INTERVAL '1 minute');
-- case: a batch sketch that nobody merges
SELECT approx_top_k_batch(k, 'all', 100) AS s FROM e;
-- case: a JSON path that is not one
SELECT extract_json(k, '$.[') AS s FROM e;
