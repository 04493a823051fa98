-- Sessions by visitor: a pause of a minute ends one.

CREATE TABLE output (
    who TEXT,
    s TIMESTAMP,
    e TIMESTAMP,
    visits BIGINT,
    pages BIGINT,
    longest BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT who, window.start, window.end, visits, pages, longest FROM (
    SELECT who, session(INTERVAL '1 minute') AS window, count(*) AS visits, sum(pages) AS pages, max(pages) AS longest
    FROM visits
    GROUP BY who, window
);
