-- What counts since the beginning, over all, anew at the end of each day. No window is that long: this one takes the last 400 days, or
-- what ${all} says, and the beginning of the pipeline is in it until then. It needs day.sql.
--
-- It is known a day late, since the next day has to come before a day is over; the open day is not in it. For each group 400 sketches are
-- kept, so the condition on "set" decides what it costs.
CREATE TABLE everything (
    field TEXT NOT NULL,          -- <set>:<group_key>
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    since BIGINT NOT NULL,        -- start of the first day in it, milliseconds since the epoch
    until BIGINT NOT NULL,        -- end of the last one
    answer TEXT,
    sketch BYTEA
) WITH (
    connector = 'redis',
    type = 'sink',
    address = '${redis:redis://127.0.0.1:6379}',
    format = 'json',
    target = 'hash',
    'target.key_prefix' = 'hh:${pipeline}:v${version}:all',
    'target.field_column' = 'field'
);

INSERT INTO days_out
SELECT concat(CAST(starts AS TEXT), ':', "set", ':', group_key) AS pane, w, "set", group_key, sketch
FROM days;

CREATE VIEW days_so_far AS
SELECT
    hop(INTERVAL '1 day', INTERVAL '${all:400 days}') AS window,
    pane,
    "set",
    group_key,
    first_value(sketch) AS sketch,
    max(CAST(extract(epoch FROM w) AS BIGINT)) AS starts
FROM days_in
WHERE "set" = '*'
GROUP BY 1, 2, 3, 4;

CREATE VIEW all_days AS
SELECT
    "set",
    group_key,
    CAST(extract(epoch FROM window.end) AS BIGINT) AS ends,
    first_day,
    last_day,
    sketch
FROM (
    SELECT
        window,
        "set",
        group_key,
        approx_top_k_combine(decode(rtrim(sketch, '='), 'base64')) AS sketch,
        min(starts) AS first_day,
        max(starts) AS last_day
    FROM days_so_far
    GROUP BY window, "set", group_key
);

-- Windows go on for 400 days after a day. Where nothing was added, the row of the day before still tells all.
INSERT INTO everything
SELECT
    concat("set", ':', group_key) AS field,
    '${pipeline}' AS pipeline,
    ${version} AS version,
    "set",
    group_key,
    coalesce(first_day, 0) * 1000 AS since,
    ends * 1000 AS until,
    approx_top_k_estimate(sketch, ${k:10}) AS answer,
    sketch
FROM all_days
WHERE last_day + 86400 = ends;
