-- Clicks, in the order of their times.
CREATE TABLE clicks (
    at TIMESTAMP NOT NULL,
    item TEXT NOT NULL,
    visitor BIGINT NOT NULL,
    WATERMARK FOR at
) WITH (
    connector = 'single_file',
    path = '${inputs}/clicks.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false'
);
