-- The minutes of all sets, with their answers.
CREATE VIEW panes AS
SELECT "set", group_key, window, sketch FROM panes_of_all
UNION ALL
SELECT "set", group_key, window, sketch FROM panes_by_group;

CREATE VIEW minutes AS
SELECT
    "set",
    group_key,
    window.start AS w,
    CAST(extract(epoch FROM window.start) AS BIGINT) AS starts,
    CAST(extract(epoch FROM window.end) AS BIGINT) AS ends,
    approx_top_k_estimate(sketch, ${k:10}) AS answer,
    sketch
FROM panes;

CREATE VIEW minute_rows AS
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
FROM minutes;
