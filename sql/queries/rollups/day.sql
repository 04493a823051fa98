-- Minutes to a day, within one set and group. The inner aggregate takes each pane once, however often it was written.
CREATE VIEW panes_of_a_day AS
SELECT tumble(INTERVAL '1 day') AS window, pane, "set", group_key, first_value(sketch) AS sketch
FROM panes_in
GROUP BY 1, 2, 3, 4;

CREATE VIEW days AS
SELECT
    "set",
    group_key,
    window.start AS w,
    CAST(extract(epoch FROM window.start) AS BIGINT) AS starts,
    CAST(extract(epoch FROM window.end) AS BIGINT) AS ends,
    approx_top_k_estimate(sketch, ${k:10}) AS answer,
    sketch
FROM (
    SELECT window, "set", group_key, approx_top_k_combine(decode(rtrim(sketch, '='), 'base64')) AS sketch
    FROM panes_of_a_day
    GROUP BY window, "set", group_key
);

CREATE VIEW day_rows AS
SELECT
    concat('86400:', CAST(starts AS TEXT), ':', "set", ':', group_key) AS key,
    '${pipeline}' AS pipeline,
    ${version} AS version,
    "set",
    group_key,
    starts * 1000 AS window_start,
    ends * 1000 AS window_end,
    answer,
    sketch
FROM days;

INSERT INTO windows
SELECT key, pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM day_rows;

INSERT INTO history
SELECT key, pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM day_rows;
