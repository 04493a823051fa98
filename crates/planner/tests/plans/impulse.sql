CREATE TABLE impulse WITH (connector = 'impulse', event_rate = 10);
SELECT sha256(CAST(counter AS TEXT)) AS hash FROM impulse;
SELECT count(*) FROM impulse GROUP BY tumble(INTERVAL '1 second');
