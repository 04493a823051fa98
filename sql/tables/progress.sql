-- How far a pipeline has read: by partition, the next offset and the newest event time of the newest window of ten seconds. The lag is
-- the end of the log minus that offset. Readers tell by it how fresh an answer is.
CREATE TABLE progress (
    field TEXT NOT NULL,          -- the partition
    "offset" BIGINT NOT NULL,
    event_time BIGINT NOT NULL    -- milliseconds since the epoch
) WITH (
    connector = 'redis',
    type = 'sink',
    address = '${redis:redis://127.0.0.1:6379}',
    format = 'json',
    target = 'hash',
    'target.key_prefix' = 'hh:${pipeline}:v${version}:progress',
    'target.field_column' = 'field'
);

INSERT INTO progress
SELECT CAST(part AS TEXT) AS field, newest + 1 AS "offset", coalesce(event_time, 0) AS event_time
FROM (
    SELECT
        tumble(INTERVAL '10 seconds') AS window,
        part,
        max(off) AS newest,
        max(json_get_int(value, 'ts')) AS event_time
    FROM messages
    WHERE t > TIMESTAMP '1970-01-01 00:00:00'
    GROUP BY 1, 2
);
