-- The events of events.sql, read so that no message can stop a pipeline on any engine: a message is text, and a field is taken
-- out of it where a query needs it. What is not JSON, or has no time, does not count. (Arroyo, reading JSON itself, falls silent
-- for good at the first message that is none.)
--
-- `part` and `off` say where a message stood, for the progress of a pipeline.
CREATE TABLE messages (
    value TEXT NOT NULL,
    part INT NOT NULL METADATA FROM 'partition',
    off BIGINT NOT NULL METADATA FROM 'offset_id',
    -- Neither may be NULL on Arroyo. A message without a time is late, and no window takes it.
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (
        coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
    ),
    WATERMARK FOR t AS (
        coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
            - INTERVAL '${delay:2 seconds}'
    )
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${topic:events}',
    format = 'raw_string',
    -- A consumer whose queue is full asks again after 10 ms, not after a second. With queued.min.messages=1000000 a backlog is
    -- read four times as fast, for some 400 MB of memory each.
    client_configs = '${client_configs:fetch.queue.backoff.ms=10}',
    'source.offset' = '${offset:earliest}'
);

CREATE VIEW events AS
SELECT
    json_get_int(value, 'ts') AS ts,
    json_get_str(value, 'item') AS item,
    json_get_str(value, 'category') AS category,
    json_get_str(value, 'region') AS region,
    json_get_int(value, 'amount') AS amount
FROM messages
WHERE json_get_int(value, 'ts') IS NOT NULL;
