-- Where the answers of a pipeline go in Redis: the newest closed window of each group, for dashboards, and every window with
-- its sketch, for ranges and drill-down, until its time to live has passed.
--
-- `set` names the dimensions of a row (`category,region`, `*` for none), `group_key` their values
-- (`category=shoes|region=eu`; in a value % | = * are percent-encoded and NULL is %00). Times are milliseconds since the
-- epoch. Rows hold no clock time, so that a row that is computed again is the same row.
CREATE TABLE latest (
    field TEXT NOT NULL,          -- <set>:<group_key>
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    answer TEXT
) WITH (
    connector = 'redis',
    type = 'sink',
    address = '${redis:redis://127.0.0.1:6379}',
    format = 'json',
    target = 'hash',
    'target.key_prefix' = 'hh:${pipeline}:v${version}:latest',
    'target.field_column' = 'field'
);

CREATE TABLE windows (
    key TEXT NOT NULL,            -- <width in s>:<start in s>:<set>:<group_key>
    pipeline TEXT NOT NULL,
    version BIGINT NOT NULL,
    "set" TEXT NOT NULL,
    group_key TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    answer TEXT,
    sketch BYTEA
) WITH (
    connector = 'redis',
    type = 'sink',
    address = '${redis:redis://127.0.0.1:6379}',
    format = 'json',
    target = 'string',
    'target.key_prefix' = 'hh:${pipeline}:v${version}:w:',
    'target.key_column' = 'key',
    'target.ttl_secs' = '${ttl_secs:86400}'
);
