-- How often does an item come by category and region, by the minute? A record batch has some dozens of groups here and few rows of
-- each, so that sketches of batches would be no smaller than the rows: the plain aggregate is the better shape.
-- In a value, % | = * are percent-encoded, and NULL is %00.
CREATE VIEW panes_by_group AS
SELECT
    'category,region' AS "set",
    concat(
        'category=',
        coalesce(replace(replace(replace(replace(category, '%', '%25'), '|', '%7C'), '=', '%3D'), '*', '%2A'), '%00'),
        '|region=',
        coalesce(replace(replace(replace(replace(region, '%', '%25'), '|', '%7C'), '=', '%3D'), '*', '%2A'), '%00')
    ) AS group_key,
    window,
    sketch
FROM (
    SELECT
        category,
        region,
        tumble(INTERVAL '1 minute') AS window,
        approx_top_k_accumulate(item, ${max_items:1024}) AS sketch
    FROM events
    GROUP BY 1, 2, 3
);
