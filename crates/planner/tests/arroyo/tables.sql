-- case: a table name in quotes
CREATE TABLE "Events" (value TEXT NOT NULL) WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string');
SELECT value FROM "Events";
-- case: types that no connection has
CREATE TABLE a (b TINYINT, c SMALLINT UNSIGNED, d DATE, e INTERVAL, f STRUCT<g SMALLINT>, h TEXT[][])
WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'json', bad_data = 'fail', client_configs = 'queued.min.messages=1');
SELECT b FROM a;
-- case: names of types
CREATE TABLE a (b JSONB, c DEC(5, 2), d TIMESTAMP(3) WITHOUT TIME ZONE, e DATETIME(3)) WITH (connector = 'stdout', format = 'json');
CREATE TABLE i WITH (connector = 'impulse', event_rate = '1');
SELECT counter FROM i;
-- case: a column that Arroyo has itself
CREATE TABLE a (_timestamp TEXT) WITH (connector = 'stdout', format = 'json');
CREATE TABLE i WITH (connector = 'impulse', event_rate = '1');
SELECT counter FROM i;
-- case: columns of impulse
CREATE TABLE i (counter BIGINT) WITH (connector = 'impulse', event_rate = '1');
SELECT counter FROM i;
-- case: impulse that ends
CREATE TABLE i WITH (connector = 'impulse', event_rate = '1', message_count = 10, event_time_interval = 1000);
SELECT counter FROM i;
-- case: values without quotes
CREATE TABLE a (value TEXT) WITH (connector = kafka, type = source, topic = 'a', format = 'raw_string', client_configs = 'queued.min.messages=1');
SELECT value FROM a;
-- case: options of something else
CREATE TABLE a (value TEXT) WITH (
    connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string', client_configs = 'queued.min.messages=1',
    'json.timestamp_format' = 'RFC3339', 'framing.newline.max_length' = 10, 'auth.username' = 'x'
);
SELECT value FROM a;
-- case: a type where there is one only
CREATE TABLE a (value TEXT) WITH (connector = 'stdout', type = 'sink', format = 'raw_string');
CREATE TABLE i WITH (connector = 'impulse', event_rate = '1');
INSERT INTO a SELECT CAST(counter AS TEXT) FROM i;
-- case: a time to live of a hash
CREATE TABLE a (k TEXT NOT NULL) WITH (connector = 'redis', type = 'sink', address = 'redis://r', format = 'json', target = 'hash', 'target.key_prefix' = 'a', 'target.field_column' = 'k', 'target.ttl_secs' = '5');
CREATE TABLE i WITH (connector = 'impulse', event_rate = '1');
INSERT INTO a SELECT CAST(counter AS TEXT) FROM i;
-- case: an unstructured message that is text
CREATE TABLE a (value TEXT) WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'json', 'json.unstructured' = 'true', client_configs = 'queued.min.messages=1');
SELECT value FROM a;
-- case: json that is dropped
CREATE TABLE a (x BIGINT) WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'json', bad_data = 'drop', client_configs = 'queued.min.messages=1');
SELECT x FROM a;
-- case: json that fails, times in it, and the settings of the client
CREATE TABLE a (x BIGINT, t TIMESTAMP NOT NULL, u TIMESTAMP) WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'json');
SELECT x FROM a;
-- case: a file that is packed
CREATE TABLE a (x BIGINT) WITH (connector = 'single_file', type = 'source', path = 'a.json.gz', format = 'json', wait_for_control = 'false');
SELECT x FROM a;
-- case: a file that waits
CREATE TABLE a (x BIGINT) WITH (connector = 'single_file', type = 'source', path = 'a.json', format = 'json');
SELECT x FROM a;
-- case: a watermark over a generated column
CREATE TABLE a (ts BIGINT NOT NULL, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)), WATERMARK FOR t AS (t - INTERVAL '1 second'))
WITH (connector = 'single_file', type = 'source', path = 'a.json', format = 'json', wait_for_control = 'false');
SELECT ts FROM a;
-- case: a watermark column in other letters
CREATE TABLE a (Day TIMESTAMP NOT NULL, WATERMARK FOR day) WITH (connector = 'single_file', type = 'source', path = 'a.json', format = 'json', wait_for_control = 'false');
SELECT 1 AS x FROM a;
-- case: an event time that may be NULL
CREATE TABLE a (value TEXT, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')))
WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string', client_configs = 'queued.min.messages=1');
SELECT value FROM a;
-- case: seconds in a generated column
CREATE TABLE a (ts BIGINT NOT NULL, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(ts AS TIMESTAMP)), WATERMARK FOR t)
WITH (connector = 'single_file', type = 'source', path = 'a.json', format = 'json', wait_for_control = 'false');
SELECT ts FROM a;
-- case: a watermark before 1970 where there is no time
CREATE TABLE a (value TEXT NOT NULL, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(json_get_int(value, 'ts')) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '1 second'))
WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string', client_configs = 'queued.min.messages=1');
SELECT value FROM a;
-- case: a watermark that the epoch holds up where there is no time
CREATE TABLE a (ts BIGINT, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP) - INTERVAL '1 second', TIMESTAMP '1970-01-01 00:00:00')))
WITH (connector = 'single_file', type = 'source', path = 'a.json', format = 'json', wait_for_control = 'false');
SELECT ts FROM a;
-- case: fine, a watermark of what is never NULL
CREATE TABLE a (ts BIGINT NOT NULL, t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '1 second'))
WITH (connector = 'single_file', type = 'source', path = 'a.json', format = 'json', wait_for_control = 'false');
SELECT ts FROM a;
-- case: fine, text that survives broken messages
CREATE TABLE a (value TEXT NOT NULL, recorded BIGINT METADATA FROM 'timestamp',
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (
        CAST(to_timestamp_millis(greatest(least(json_get_int(value, 'ts'), 9223372036855) % 9223372036855, 0)) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(greatest(coalesce(
            nullif(CAST(to_timestamp_millis(greatest(least(json_get_int(value, 'ts'), 9223372036855) % 9223372036855, 0)) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00'),
            CAST(to_timestamp_millis(least(greatest(recorded, 0), 9223372036854)) AS TIMESTAMP)
        ) - INTERVAL '1 second', TIMESTAMP '1970-01-01 00:00:00'), TIMESTAMP '1970-01-01 00:00:00')))
WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string', client_configs = 'queued.min.messages=1000000,fetch.queue.backoff.ms=10', 'source.offset' = 'earliest');
SELECT json_get_str(value, 'item') AS item FROM a WHERE t > TIMESTAMP '1970-01-01 00:00:00';
