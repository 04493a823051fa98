-- How often does an item come by region, by the minute? Sketches of record batches, as over all; the bin holds the
-- window and the group in full. In a value, % | = * are percent-encoded, and NULL is %00.
CREATE VIEW batches_by_group AS
SELECT
    region,
    approx_top_k_batch(
        item, concat(CAST(ts / 60000 AS TEXT), coalesce('|' || region, '')), ${max_items:1024}
    ) AS sketch
FROM events;

CREATE VIEW panes_by_group AS
SELECT
    'region' AS "set",
    concat(
        'region=',
        coalesce(replace(replace(replace(replace(region, '%', '%25'), '|', '%7C'), '=', '%3D'), '*', '%2A'), '%00')
    ) AS group_key,
    window,
    sketch
FROM (
    SELECT region, tumble(INTERVAL '1 minute') AS window, approx_top_k_combine(sketch) AS sketch
    FROM batches_by_group
    WHERE sketch IS NOT NULL
    GROUP BY 1, 2
);
