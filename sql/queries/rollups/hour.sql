-- Minutes to an hour, within one set and group. The inner aggregate takes each pane once, however often it was written.
CREATE VIEW panes_of_an_hour AS
SELECT tumble(INTERVAL '1 hour') AS window, pane, "set", group_key, first_value(sketch) AS sketch
FROM panes_in
GROUP BY 1, 2, 3, 4;

CREATE VIEW hours AS
SELECT
    "set",
    group_key,
    CAST(extract(epoch FROM window.start) AS BIGINT) AS starts,
    CAST(extract(epoch FROM window.end) AS BIGINT) AS ends,
    approx_top_k_estimate(sketch, ${k:10}) AS answer,
    sketch
FROM (
    SELECT window, "set", group_key, approx_top_k_combine(decode(rtrim(sketch, '='), 'base64')) AS sketch
    FROM panes_of_an_hour
    GROUP BY window, "set", group_key
);

CREATE VIEW hour_rows AS
SELECT
    concat('3600:', CAST(starts AS TEXT), ':', "set", ':', group_key) AS key,
    '${pipeline}' AS pipeline,
    ${version} AS version,
    "set",
    group_key,
    starts * 1000 AS window_start,
    ends * 1000 AS window_end,
    answer,
    sketch
FROM hours;

INSERT INTO windows
SELECT key, pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM hour_rows;

INSERT INTO history
SELECT key, pipeline, version, "set", group_key, window_start, window_end, answer, sketch FROM hour_rows;
