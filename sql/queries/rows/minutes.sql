-- The answers of the minutes as rows, for analysts: one for each item, with its bounds. To a topic, for a warehouse; one for all
-- versions of the pipeline, of which a row names its own.
CREATE TABLE item_rows (
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT,
    window_start BIGINT NOT NULL,
    rank BIGINT,
    item TEXT,
    estimate BIGINT,
    lower BIGINT,
    upper BIGINT
) WITH (
    connector = 'kafka',
    type = 'sink',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${pipeline}.rows',
    format = 'json'
);

CREATE VIEW items_of_minutes AS
SELECT "set", group_key, starts, unnest(extract_json(answer, '$.items[*]')) AS line FROM minutes;

INSERT INTO item_rows
SELECT
    '${pipeline}' AS pipeline,
    ${version} AS version,
    "set",
    group_key,
    starts * 1000 AS window_start,
    json_get_int(line, 'rank') AS rank,
    json_get_str(line, 'item') AS item,
    json_get_int(line, 'estimate') AS estimate,
    json_get_int(line, 'lower') AS lower,
    json_get_int(line, 'upper') AS upper
FROM items_of_minutes;
