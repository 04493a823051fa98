-- The events of events.sql, read so that no message can stop a pipeline on any engine: a message is text, and a field is taken
-- out of it where a query needs it. What is not JSON, or has no time, does not count. (Arroyo, reading JSON itself, falls silent
-- for good at the first message that is none.)
--
-- `part` and `off` say where a message stood, for the progress of a pipeline; `recorded` when Kafka got it (milliseconds).
CREATE TABLE messages (
    value TEXT NOT NULL,
    part INT NOT NULL METADATA FROM 'partition',
    off BIGINT NOT NULL METADATA FROM 'offset_id',
    recorded BIGINT METADATA FROM 'timestamp',
    -- A message whose `ts` is no time between 1970 and 2262 (what nanoseconds reach) is given the epoch, and no query takes it:
    -- least() makes the limit of what is missing or beyond, the remainder makes 0 of the limit. (Arroyo's planner takes no
    -- declared expression in which a call stands twice.)
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (
        CAST(to_timestamp_millis(greatest(least(json_get_int(value, 'ts'), 9223372036855) % 9223372036855, 0)) AS TIMESTAMP)
    ),
    -- Arroyo takes the least watermark of a batch, wants none that may be NULL, and fails at one before 1970. So that a message
    -- without a time holds up nobody there, it has the time at which Kafka got it. (The embedded engine takes the greatest watermark
    -- of a partition, and lets that of a row at the epoch be no later than the row.)
    WATERMARK FOR t AS (
        coalesce(
            greatest(
                coalesce(
                    nullif(
                        CAST(to_timestamp_millis(greatest(least(json_get_int(value, 'ts'), 9223372036855) % 9223372036855, 0)) AS TIMESTAMP),
                        TIMESTAMP '1970-01-01 00:00:00'
                    ),
                    CAST(to_timestamp_millis(least(greatest(recorded, 0), 9223372036854)) AS TIMESTAMP)
                ) - INTERVAL '${delay:2 seconds}',
                TIMESTAMP '1970-01-01 00:00:00'
            ),
            TIMESTAMP '1970-01-01 00:00:00'
        )
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
WHERE t > TIMESTAMP '1970-01-01 00:00:00';
