-- Sessions without a key.

CREATE TABLE output (
    s TIMESTAMP,
    e TIMESTAMP,
    visits BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, window.end, visits FROM (
    SELECT session(INTERVAL '30 seconds') AS window, count(*) AS visits FROM visits GROUP BY 1
);
