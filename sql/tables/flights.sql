-- Departures from the three airports of New York in 2013: one JSON object a line, sorted by scheduled departure
-- (data/README.md says where they come from).
--
-- Event time is the scheduled departure. `scheduled` is in UTC; windows are cut along the epoch, so that a window of a
-- day would begin at 19:00 in New York. `est` is New York's standard time the whole year round: its days are days there
-- (an hour late in summer).
CREATE TABLE flights (
    scheduled TIMESTAMP NOT NULL,
    carrier TEXT NOT NULL,      -- IATA code, as UA
    flight BIGINT NOT NULL,
    tailnum TEXT,               -- the aircraft; NULL for most cancelled flights
    origin TEXT NOT NULL,       -- EWR, JFK or LGA
    dest TEXT NOT NULL,
    dep_delay BIGINT,           -- minutes, negative if early; NULL if cancelled
    arr_delay BIGINT,
    distance BIGINT NOT NULL,   -- miles
    est TIMESTAMP NOT NULL GENERATED ALWAYS AS (scheduled - INTERVAL '5 hours'),
    WATERMARK FOR est AS (scheduled - INTERVAL '5 hours' - INTERVAL '1 second')
) WITH (
    connector = 'single_file',
    type = 'source',
    path = '${flights}',
    format = 'json',
    wait_for_control = 'false'
);
