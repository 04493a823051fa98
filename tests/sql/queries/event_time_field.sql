-- The older way to name the event time.

CREATE TABLE clicks (
    at TIMESTAMP NOT NULL,
    item TEXT NOT NULL,
    visitor BIGINT NOT NULL
) WITH (
    connector = 'single_file',
    path = '${inputs}/clicks.json',
    format = 'json',
    type = 'source',
    wait_for_control = 'false',
    event_time_field = 'at'
);

CREATE TABLE output (
    s TIMESTAMP,
    n BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, n FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM clicks GROUP BY 1
);
