CREATE TABLE impulses (timestamp TIMESTAMP, counter BIGINT UNSIGNED NOT NULL, subtask_index BIGINT UNSIGNED NOT NULL)
WITH (connector = 'single_file', path = 'impulses.json', type = 'source', format = 'json', event_time_field = 'timestamp');
CREATE TABLE sessions (start TIMESTAMP, end TIMESTAMP, user_id BIGINT, rows BIGINT)
WITH (connector = 'single_file', path = 'sessions.json', type = 'sink', format = 'json');

INSERT INTO sessions
SELECT window.start, window.end, user_id, rows FROM (
  SELECT session(INTERVAL '20 seconds') AS window, CASE WHEN counter % 7 = 0 THEN 0 ELSE counter END AS user_id, count(*) AS rows
  FROM impulses GROUP BY window, user_id);
