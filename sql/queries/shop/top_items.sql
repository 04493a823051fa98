-- The most wanted items of each minute: over all, and by category and region.
CREATE VIEW over_all AS
SELECT tumble(INTERVAL '1 minute') AS window, approx_top_k_accumulate(item, ${max_items:1024}) AS sketch
FROM events
GROUP BY 1;

CREATE VIEW by_category_and_region AS
SELECT
    tumble(INTERVAL '1 minute') AS window,
    category,
    region,
    approx_top_k_accumulate(item, ${max_items:1024}) AS sketch
FROM events
GROUP BY 1, 2, 3;

CREATE VIEW groups AS
SELECT '*' AS "set", '*' AS group_key, window, sketch FROM over_all
UNION ALL
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
FROM by_category_and_region;

CREATE VIEW answers AS
SELECT
    "set",
    group_key,
    CAST(extract(epoch FROM window.start) AS BIGINT) AS starts,
    CAST(extract(epoch FROM window.end) AS BIGINT) AS ends,
    approx_top_k_estimate(sketch, ${k:10}) AS answer,
    sketch
FROM groups;

INSERT INTO latest
SELECT
    concat("set", ':', group_key) AS field,
    '${pipeline}' AS pipeline,
    ${version} AS version,
    "set",
    group_key,
    starts * 1000 AS window_start,
    ends * 1000 AS window_end,
    answer
FROM answers;

INSERT INTO windows
SELECT
    concat('60:', CAST(starts AS TEXT), ':', "set", ':', group_key) AS key,
    '${pipeline}' AS pipeline,
    ${version} AS version,
    "set",
    group_key,
    starts * 1000 AS window_start,
    ends * 1000 AS window_end,
    answer,
    sketch
FROM answers;
