CREATE TABLE posts (t TIMESTAMP NOT NULL, tags TEXT[], author STRUCT<name TEXT, place STRUCT<city TEXT>>, likes DECIMAL(10, 2), body BYTEA, WATERMARK FOR t)
WITH (connector = 'kafka', topic = 'posts', type = 'source');

CREATE VIEW tagged AS SELECT unnest(tags) AS tag, author.place.city AS city, likes FROM posts;
CREATE VIEW counts AS
SELECT tag, hop(INTERVAL '5 seconds', INTERVAL '15 seconds') AS window, count(*) AS n, sum(likes) AS likes
FROM tagged GROUP BY tag, window HAVING count(*) > 1;

-- One nested row a window.
SELECT window.start AS opened, array_agg(named_struct('tag', tag, 'n', n) ORDER BY n DESC) AS top FROM (
  SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, tag) AS rn FROM counts) WHERE rn < 4)
GROUP BY window;

-- And rows out of it again.
CREATE VIEW lists AS SELECT window, array_agg(tag) AS tags FROM counts GROUP BY window;
SELECT window, unnest(tags) AS tag FROM lists;
