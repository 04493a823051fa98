-- The events of Hitters: what happened to which item, one JSON object a message. `hitters generate` writes such events.
--
--   {"ts":1700000000000,"item":"sku-0004711","category":"shoes","region":"eu","user":"u000052","amount":4999}
--
--   ts        BIGINT  when it happened, milliseconds since the epoch, UTC; out of order by the delay below at most
--   item      TEXT    what is counted: a product, URL, address, hashtag, advertisement
--   category  TEXT    a dimension with few values, or NULL
--   region    TEXT    a dimension with few values, or NULL
--   user      TEXT    who did it, or NULL
--   amount    BIGINT  its weight (cents, bytes, views), or NULL
--
-- Further fields do no harm: only what a query needs is decoded. The topic's key is not used; events of one item may be in
-- any partition.
CREATE TABLE events (
    ts BIGINT NOT NULL,
    item TEXT NOT NULL,
    category TEXT,
    region TEXT,
    "user" TEXT,
    amount BIGINT,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    -- The watermark must not be NULL on Arroyo, hence coalesce.
    WATERMARK FOR t AS (
        coalesce(
            CAST(to_timestamp_millis(ts) AS TIMESTAMP) - INTERVAL '${delay:2 seconds}',
            TIMESTAMP '1970-01-01 00:00:00'
        )
    )
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${topic:events}',
    format = 'json',
    bad_data = 'drop',
    'source.offset' = '${offset:earliest}'
);
