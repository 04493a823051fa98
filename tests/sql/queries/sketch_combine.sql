-- Sketches by region, combined in their window: as if there had been one.

CREATE TABLE output (
    s TIMESTAMP,
    answer TEXT
) WITH (
    connector = 'single_file',
    path = '${output}',
    format = 'json',
    type = 'sink'
);

INSERT INTO output
SELECT window.start, approx_top_k_estimate(sketch, 4) FROM (
    SELECT window, approx_top_k_combine(part) AS sketch FROM (
        SELECT region, tumble(INTERVAL '5 minutes') AS window, approx_top_k_accumulate(item, 256) AS part
        FROM orders
        GROUP BY 1, 2
    )
    GROUP BY window
);
