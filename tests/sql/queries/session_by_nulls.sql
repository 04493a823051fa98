-- Sessions by several keys, of which one is always NULL: which one tells apart what a visitor did.

CREATE TABLE output (
    seen BOOLEAN,
    many TEXT,
    few TEXT,
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
SELECT seen, many, few, window.start, window.end, visits FROM (
    SELECT
        seen, many, few, session(INTERVAL '5 minutes') AS window, count(*) AS visits
    FROM (
        SELECT
            time,
            pages > 0 AS seen,
            CASE WHEN pages > 3 THEN who END AS many,
            CASE WHEN pages <= 3 THEN who END AS few
        FROM visits
    )
    GROUP BY seen, many, few, window
);
