-- Panes of 10 s leave through a topic and come back as minutes.
CREATE TABLE hits (t TIMESTAMP NOT NULL, item TEXT NOT NULL, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'hits', type = 'source');
CREATE TABLE panes_out (w TIMESTAMP NOT NULL, pane TEXT NOT NULL, sketch BYTEA NOT NULL) WITH (connector = 'kafka', topic = 'panes', type = 'sink');
CREATE TABLE panes_in (w TIMESTAMP NOT NULL, pane TEXT NOT NULL, sketch TEXT NOT NULL, WATERMARK FOR w) WITH (connector = 'kafka', topic = 'panes', type = 'source');
CREATE TABLE minutes (k TEXT NOT NULL, value TEXT) WITH (connector = 'redis', target = 'string', 'target.key_column' = 'k');

INSERT INTO panes_out
SELECT window.start, CAST(CAST(extract(epoch FROM window.start) AS BIGINT) AS TEXT), sketch FROM (
  SELECT tumble(INTERVAL '10 seconds') AS window, approx_top_k_accumulate(item, 1024) AS sketch FROM hits GROUP BY 1);

INSERT INTO minutes
SELECT CAST(CAST(extract(epoch FROM window.start) AS BIGINT) AS TEXT), approx_top_k_estimate(approx_top_k_combine(decode(rtrim(sketch, '='), 'base64')), 10) FROM (
  SELECT tumble(INTERVAL '1 minute') AS window, pane, first_value(sketch) AS sketch FROM panes_in GROUP BY 1, 2)
GROUP BY window;
