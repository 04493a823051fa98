-- The minutes to a file, one JSON object a line: the rows that other pipelines write to Redis.
CREATE TABLE minutes_file (
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    answer TEXT,
    sketch BYTEA
) WITH (
    connector = 'single_file',
    type = 'sink',
    path = '${results}/minutes.ndjson',
    format = 'json'
);

INSERT INTO minutes_file
SELECT pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM minute_rows;
