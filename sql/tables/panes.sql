-- Sketches of closed panes on their way to longer windows. A window cannot feed another window inside one query on Arroyo, so
-- panes leave through a topic and come back: `hitters topics PIPELINE --create` creates it, `hitters replay` that of the next version.
-- The version is part of its name, so that what one version rolls up are panes of its own.
--
-- Arroyo writes a pane again after a crash. `pane` names it in full, and the roll-ups take each name once.
CREATE TABLE panes_out (
    pane TEXT NOT NULL,           -- <start in s>:<set>:<group_key>, the key of the record
    w TIMESTAMP NOT NULL,         -- start of the pane
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    sketch BYTEA
) WITH (
    connector = 'kafka',
    type = 'sink',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${pipeline}.v${version}.panes',
    format = 'json',
    'sink.key_field' = 'pane'
);

CREATE TABLE panes_in (
    pane TEXT NOT NULL,
    w TIMESTAMP NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    sketch TEXT,                  -- base64
    -- Panes of one window are written together, those of another partition soon after.
    WATERMARK FOR w AS (w - INTERVAL '${pane_delay:1 minute}')
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = '${bootstrap_servers:localhost:9092}',
    topic = '${pipeline}.v${version}.panes',
    format = 'json',
    'source.offset' = 'earliest'
);
