CREATE TABLE clicks (user_id BIGINT NOT NULL, ad TEXT NOT NULL, cents BIGINT, t TIMESTAMP NOT NULL, WATERMARK FOR t)
WITH (connector = 'kafka', topic = 'clicks', type = 'source', format = 'json');

-- By the window column of the inner query.
SELECT window.start AS opened, count(*) AS users, sum(clicks) AS clicks FROM (
  SELECT user_id, tumble(INTERVAL '1 minute') AS window, count(*) AS clicks FROM clicks GROUP BY 1, 2
) GROUP BY window;

-- The same call again, though the inner query does not pass its window up.
SELECT tumble(INTERVAL '1 minute') AS window, count(DISTINCT user_id) AS users FROM (
  SELECT user_id FROM (SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, tumble(INTERVAL '1 minute')) WHERE n > 2
) GROUP BY 1;
