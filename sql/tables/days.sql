-- Sketches of closed days on their way to what is counted since the beginning, as panes.sql has minutes on their way to hours and days.
CREATE TABLE days_out (
    pane TEXT NOT NULL,           -- <start in s>:<set>:<group_key>, the key of the record
    w TIMESTAMP NOT NULL,         -- start of the day
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    sketch BYTEA
) WITH (
    connector = 'kafka',
    type = 'sink',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${pipeline}.v${version}.days',
    format = 'json',
    'sink.key_field' = 'pane'
);

CREATE TABLE days_in (
    pane TEXT NOT NULL,
    w TIMESTAMP NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    sketch TEXT,                  -- base64
    -- Days are closed one after the other.
    WATERMARK FOR w AS (w - INTERVAL '${pane_delay:1 minute}')
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${pipeline}.v${version}.days',
    format = 'json',
    'source.offset' = 'earliest'
);
