-- The minutes go to the dashboards (the newest of each group), to ranges (every minute with its sketch), to history, and to the roll-ups.
INSERT INTO latest
SELECT concat("set", ':', group_key) AS field, pipeline, version, "set", group_key, window_start, window_end, answer
FROM minute_rows;

INSERT INTO windows
SELECT key, pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM minute_rows;

INSERT INTO history
SELECT key, pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM minute_rows;

INSERT INTO panes_out
SELECT
    concat(CAST(starts AS TEXT), ':', "set", ':', group_key) AS pane,
    w,
    "set",
    group_key,
    sketch
FROM minutes;
