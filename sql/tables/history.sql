-- The rows of every closed window for history, in the topic <pipeline>.results: an archive reads it, and so may anybody else. It is one topic
-- for all versions, since whoever reads it subscribes to it: a row says of which version it is.
--
-- The key is that of the row in Redis. After a crash of an Arroyo cluster rows may stand here twice, the same rows under the same key:
-- a reader that keeps the last row of each key and version has each once, and so has a topic with `cleanup.policy=compact`.
CREATE TABLE history (
    key TEXT NOT NULL,            -- <width in s>:<start in s>:<set>:<group_key>
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    answer TEXT,
    sketch BYTEA
) WITH (
    connector = 'kafka',
    type = 'sink',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${pipeline}.results',
    format = 'json',
    'sink.key_field' = 'key'
);
