-- The minutes of all sets: to the dashboards (the newest of each group), to ranges (every minute with its sketch), and to the
-- roll-ups.
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
FROM minutes;

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
FROM minutes;

INSERT INTO panes_out
SELECT
    concat(CAST(starts AS TEXT), ':', "set", ':', group_key) AS pane,
    w,
    "set",
    group_key,
    sketch
FROM minutes;
