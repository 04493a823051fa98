//! What an archive says to Redis: Lua scripts, each carried out as a whole, and each behind a look whether this run may still write.
//!
//! The hash of the topic names the run that took over last. A run that finds another one there is told to end; one that finds
//! none knows that Redis has lost what it held, and begins anew. Scripts are sent as text: what they write is larger.

use super::{base, now};
use crate::row::Row;
use ::redis::Cmd;
use serde_json::{Value, json};

/// Windows live so much longer than readers are told, in ms: clocks differ, and questions take their time.
const SLACK: i64 = 600_000;

/// KEYS[1]: the hash of the topic; ARGV[1]: this run.
const CHECK: &str = "\
local run = redis.call('HGET', KEYS[1], 'run')
if not run then return redis.error_reply('LOST the archive is not there any more') end
if run ~= ARGV[1] then return redis.error_reply('FENCED a later run writes') end
local function failed(reply) return type(reply) == 'table' and reply.err end
";

/// Takes over: KEYS[1]: the hash of the topic; ARGV[1]: this run.
const TAKE: &str = "\
local reply = redis.pcall('HSET', KEYS[1], 'run', ARGV[1])
if type(reply) == 'table' and reply.err then return reply end
return redis.call('HGETALL', KEYS[1])
";

/// Begins a version of a pipeline. KEYS[2]: its archive, KEYS[3]: its newest rows, KEYS[4]: what its own sinks are fenced by; ARGV[2]: the
/// topic, ARGV[3]: the field by which the topic's hash remembers it.
const BEGIN: &str = "\
local log = redis.call('HGET', KEYS[2], 'log')
if log and log ~= ARGV[2] then return redis.error_reply('OTHERS topic ' .. log) end
if redis.call('EXISTS', KEYS[4]) == 1 or not log and redis.call('EXISTS', KEYS[3]) == 1 then
  return redis.error_reply('OTHERS the pipeline itself')
end
for i, set in ipairs({{KEYS[1], ARGV[3], ''}, {KEYS[2], 'log', ARGV[2]}}) do
  local reply = redis.pcall('HSET', set[1], set[2], set[3])
  if failed(reply) then return reply end
end
return redis.call('HGETALL', KEYS[2])
";

/// KEYS[2...]: windows; ARGV[2...]: for each its row, and when it expires.
const WINDOWS: &str = "\
for i = 2, #KEYS do
  local reply = redis.pcall('SET', KEYS[i], ARGV[2 * i - 2])
  if failed(reply) then return reply end
  redis.call('PEXPIREAT', KEYS[i], ARGV[2 * i - 1])
end
return redis.status_reply('OK')
";

/// KEYS[2]: the newest rows; ARGV[2...]: field, row, start and end of each. Of two rows of a group that of the shorter window stays, of
/// two equally long ones the newer: whatever the order in which they come.
const LATEST: &str = "\
for i = 2, #ARGV, 4 do
  local old = redis.call('HGET', KEYS[2], ARGV[i])
  local good, row = pcall(cjson.decode, old or '')
  if good and type(row) == 'string' then good, row = pcall(cjson.decode, row) end
  local from, to = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local first, last = good and type(row) == 'table' and tonumber(row.window_start), nil
  if first then last = tonumber(row.window_end) end
  local stays = last and (last - first < to - from or last - first == to - from and last > to)
  if not stays then
    local reply = redis.pcall('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    if failed(reply) then return reply end
  end
end
return redis.status_reply('OK')
";

/// KEYS[2]: a hash; ARGV[2...]: fields and their values. An empty value takes the field away.
const FIELDS: &str = "\
for i = 2, #ARGV, 2 do
  local reply
  if ARGV[i + 1] == '' then reply = redis.pcall('HDEL', KEYS[2], ARGV[i])
  else reply = redis.pcall('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
  if failed(reply) then return reply end
end
return redis.status_reply('OK')
";

/// KEYS[2]: the version to look at; ARGV[2]: which one that was, or nothing; ARGV[3]: which one it is.
const ACTIVATE: &str = "\
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return redis.status_reply('OK') end
return redis.pcall('SET', KEYS[2], ARGV[3])
";

/// One run, and the topic that it reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripts {
    pub run: String,
    pub log: String,
}

impl Scripts {
    /// The key of what is kept of the topic.
    pub(super) fn topic(log: &str) -> String {
        format!("hitters:archive:{log}")
    }

    fn script(&self, body: &str, keys: &[String]) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(format!("{CHECK}{body}")).arg(keys.len() + 1);
        command.arg(Self::topic(&self.log)).arg(keys).arg(&self.run);
        command
    }

    pub(super) fn take(&self) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(TAKE).arg(1).arg(Self::topic(&self.log)).arg(&self.run);
        command
    }

    /// Looks alone.
    pub(super) fn check(&self) -> Cmd {
        self.script("return redis.status_reply('OK')", &[])
    }

    pub(super) fn begin(&self, base: &str, remembered: &str) -> Cmd {
        let keys = ["archive", "latest", "attempt"].map(|name| format!("{base}:{name}"));
        let mut command = self.script(BEGIN, &keys);
        command.arg(&self.log).arg(remembered);
        command
    }

    /// Writes windows, but for those that have expired.
    pub(super) fn windows(&self, rows: &[&Row], kept: i64) -> Option<Cmd> {
        let expires = |row: &Row| row.end.saturating_add(kept).saturating_add(SLACK);
        let rows: Vec<&&Row> = rows.iter().filter(|row| expires(row) > now()).collect();
        let keys: Vec<String> = rows.iter().map(|row| format!("{}:w:{}", of(row), name(row))).collect();
        if keys.is_empty() {
            return None;
        }
        let mut command = self.script(WINDOWS, &keys);
        for row in rows {
            command.arg(window(row)).arg(expires(row));
        }
        Some(command)
    }

    /// Writes the newest rows of groups of one version.
    pub(super) fn latest(&self, base: &str, rows: &[&Row]) -> Cmd {
        let mut command = self.script(LATEST, &[format!("{base}:latest")]);
        for row in rows {
            let field = format!("{}:{}", row.set, row.group);
            let text = with(row, "field", &field).to_string();
            command.arg(field).arg(text).arg(row.start).arg(row.end);
        }
        command
    }

    pub(super) fn fields(&self, key: String, fields: &[(String, String)]) -> Cmd {
        let mut command = self.script(FIELDS, &[key]);
        for (field, value) in fields {
            command.arg(field).arg(value);
        }
        command
    }

    pub(super) fn activate(&self, key: String, from: Option<u64>, to: u64) -> Cmd {
        let from = from.map(|from| from.to_string()).unwrap_or_default();
        let mut command = self.script(ACTIVATE, &[key]);
        command.arg(from).arg(to);
        command
    }
}

fn of(row: &Row) -> String {
    base(&row.scope())
}

/// `<width s>:<start s>:<set>:<group>`.
fn name(row: &Row) -> String {
    let (width, start) = (row.width() / 1000, row.start.div_euclid(1000));
    format!("{width}:{start}:{}:{}", row.set, row.group)
}

/// A row as the sink of windows writes it.
fn window(row: &Row) -> String {
    use base64::Engine;
    let mut value = with(row, "key", &name(row));
    let sketch = row
        .sketch
        .as_ref()
        .map(|bytes| base64::prelude::BASE64_STANDARD.encode(bytes));
    value["sketch"] = json!(sketch);
    value.to_string()
}

/// The columns of a row but for its sketch, and one more. The answer is a text, as for the sinks.
fn with(row: &Row, column: &str, value: &str) -> Value {
    let mut columns = row.to_value();
    columns["answer"] = match &row.answer {
        Some(answer) => answer.to_value().to_string().into(),
        None => Value::Null,
    };
    columns[column] = value.into();
    columns
}
