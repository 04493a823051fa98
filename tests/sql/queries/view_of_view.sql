-- A view over a view, filtered twice.

CREATE VIEW european AS SELECT ts, time, item, amount FROM orders WHERE region = 'eu';

CREATE VIEW dear AS SELECT item, amount FROM european WHERE amount > 100;

CREATE TABLE output (
    s TIMESTAMP,
    n BIGINT,
    most BIGINT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, n, most FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, count(*) AS n, max(amount) AS most FROM dear GROUP BY 1
);
