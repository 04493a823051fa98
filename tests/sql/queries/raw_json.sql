-- Lines of any shape, read with the JSON functions; what has no time does not count.

CREATE TABLE lines (
    value TEXT NOT NULL,
    time TIMESTAMP GENERATED ALWAYS AS (CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP)),
    WATERMARK FOR time AS (
        coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
            - INTERVAL '15 seconds'
    )
) WITH (
    connector = 'single_file',
    path = '${inputs}/raw.txt',
    format = 'raw_string',
    type = 'source',
    wait_for_control = 'false',
    bad_data = 'drop'
);

CREATE TABLE output (
    s TIMESTAMP,
    who TEXT,
    n BIGINT,
    amount BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, who, n, amount FROM (
    SELECT
        tumble(INTERVAL '1 minute') AS window,
        json_get_str(value, 'user', 'id') AS who,
        count(*) AS n,
        coalesce(sum(json_get_int(value, 'amount')), 0) AS amount
    FROM lines
    WHERE json_get_int(value, 'ts') IS NOT NULL
    GROUP BY 1, 2
);
