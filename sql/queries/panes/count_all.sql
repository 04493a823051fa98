-- How often does an item come, over all, by the minute? A sketch of each record batch, before any shuffle, then one of the window:
-- what travels and what waits for the window's end is sketches, not events. The bin is the window's width, so that no sketch
-- straddles two windows. (The embedded engine adds rows to the window's sketch at once.)
CREATE VIEW batches_of_all AS
SELECT approx_top_k_batch(item, CAST(ts / 60000 AS TEXT), ${max_items:1024}) AS sketch FROM events;

CREATE VIEW panes_of_all AS
SELECT '*' AS "set", '*' AS group_key, window, sketch
FROM (
    SELECT tumble(INTERVAL '1 minute') AS window, approx_top_k_combine(sketch) AS sketch
    FROM batches_of_all
    WHERE sketch IS NOT NULL
    GROUP BY 1
);
