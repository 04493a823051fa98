//! Keeps a run that was taken for dead from overwriting the rows of its successor.
//!
//! Rows go out in Lua scripts, which Redis runs as a whole. Each first compares the number of this start of the pipeline with
//! the one that is stored: a smaller one is refused, a larger one is stored. A script may touch only keys of one hash slot, so
//! that a cluster has a number for each slot that was written to (at most 16,384 of some 100 bytes), and a single server one:
//!
//! ```text
//! hh:<pipeline>:v<version>:attempt              number of the start, on a single server
//! hh:<pipeline>:v<version>:attempt:{<tag>}      the same for a slot of a cluster; the tag is a number that leads there
//! hh:<pipeline>:v<version>:list:<table>         <life> <checkpoint> <sequence> of the last piece pushed to lists
//! hh:<pipeline>:v<version>:list:<table>:{<tag>} the same for a slot of a cluster
//! ```
//!
//! Strings and hashes are replaced by key, so that writing a row again changes nothing. Pushes to lists are not: they wait for
//! their checkpoint, are cut into pieces that depend on its rows alone, and each piece is stored as done in the script that
//! pushes it. So a piece whose answer was lost, or whose run was killed, is pushed once. `life` is a random number of the
//! state (kept in its checkpoints): numbers of an earlier state, deleted since, do not count.
//!
//! Scripts are sent as text (EVAL) and not by their hash: a piece has hundreds of rows, so that the text costs nothing, and a
//! server that restarts or fails over needs no second way to learn them.

use super::Target;
use super::commands::{Row, push};
use super::slots::{SLOTS, slot, tags};
use crate::run::Attempt;
use redis::Cmd;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

/// Rows of one script. Redis does nothing else while it runs: some tenths of a millisecond.
const ROWS: usize = 500;
/// Bytes of values of one script, unless a single row has more.
const BYTES: usize = 256 << 10;

/// KEYS[1]: the number of the start that wrote last; ARGV[1]: ours.
const CHECK: &str = "\
local stored = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local mine = tonumber(ARGV[1])
if stored > mine then return redis.error_reply('FENCED start ' .. string.format('%.0f', stored)) end
local function failed(reply) return type(reply) == 'table' and reply.err end
if stored < mine then
  local reply = redis.pcall('SET', KEYS[1], ARGV[1])
  if failed(reply) then return reply end
end
";

/// KEYS[2...]: strings, ARGV[3...]: their values; ARGV[2]: seconds to live, 0 for ever.
const STRINGS: &str = "\
for i = 2, #KEYS do
  local reply
  if ARGV[2] == '0' then reply = redis.pcall('SET', KEYS[i], ARGV[i + 1])
  else reply = redis.pcall('SETEX', KEYS[i], ARGV[2], ARGV[i + 1]) end
  if failed(reply) then return reply end
end
return redis.status_reply('OK')
";

/// KEYS[2...]: hashes; ARGV[2...]: for each the number of its fields, then fields and values. Lua passes at most some thousand
/// arguments, so they go in hundreds.
const HASHES: &str = "\
local at = 2
for i = 2, #KEYS do
  local last = at + 2 * tonumber(ARGV[at])
  for from = at + 1, last, 200 do
    local reply = redis.pcall('HSET', KEYS[i], unpack(ARGV, from, math.min(from + 199, last)))
    if failed(reply) then return reply end
  end
  at = last + 1
end
return redis.status_reply('OK')
";

/// KEYS[2]: what was pushed last; ARGV[2], ARGV[3], ARGV[4]: life, checkpoint and sequence of this piece; ARGV[5]: the command,
/// ARGV[6]: the longest list, 0 for any. KEYS[3...]: lists; ARGV[7...]: for each the number of its entries, then these.
///
/// A piece is pushed as a whole or not at all: what could refuse one of its commands is looked at before the first (a key of
/// another type), or refuses the first of them too (a server that is full, or a replica).
const LISTS: &str = "\
local life, checkpoint, sequence = string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) (%d+) (%d+)$')
local expected = 1
if life == ARGV[2] then
  if tonumber(checkpoint) > tonumber(ARGV[3]) then return redis.status_reply('OK') end
  if checkpoint == ARGV[3] then expected = tonumber(sequence) + 1 end
end
if tonumber(ARGV[4]) < expected then return redis.status_reply('OK') end
if tonumber(ARGV[4]) > expected then return redis.error_reply('GAP a piece before this one is missing') end
for i = 3, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= 'list' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. kind)
  end
end
local at = 7
for i = 3, #KEYS do
  local last = at + tonumber(ARGV[at])
  for from = at + 1, last, 200 do
    local reply = redis.pcall(ARGV[5], KEYS[i], unpack(ARGV, from, math.min(from + 199, last)))
    if failed(reply) then return reply end
  end
  if ARGV[6] ~= '0' then
    if ARGV[5] == 'RPUSH' then redis.call('LTRIM', KEYS[i], -tonumber(ARGV[6]), -1)
    else redis.call('LTRIM', KEYS[i], 0, tonumber(ARGV[6]) - 1) end
  end
  at = last + 1
end
redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return redis.status_reply('OK')
";

/// Which checkpoint rows are pushed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Push {
    pub life: u64,
    pub checkpoint: u64,
}

/// Builds commands that carry the number of this start.
pub(super) struct Fence {
    /// `hh:<pipeline>:v<version>`.
    base: String,
    /// The name of the sink.
    name: String,
    number: u64,
    /// By slot of a cluster; empty for a single server.
    tags: Vec<String>,
}

impl Fence {
    pub(super) fn new(attempt: &Attempt, name: &str, cluster: bool) -> Self {
        Self {
            base: format!("hh:{}:v{}", attempt.pipeline, attempt.version),
            name: name.to_string(),
            number: attempt.number,
            tags: if cluster { tags() } else { Vec::new() },
        }
    }

    /// The first write of a pipeline without saved state: numbers of starts begin anew, so those that an earlier state left
    /// do not count.
    pub(super) fn begin(&self) -> Vec<Cmd> {
        if self.tags.is_empty() {
            return vec![redis::cmd("SET").arg(self.attempt_key(0)).arg(self.number).clone()];
        }
        let delete = |place| redis::cmd("DEL").arg(self.attempt_key(place)).clone();
        (0..SLOTS).map(delete).collect()
    }

    /// The first write of a run that goes on: what the run before still writes is refused from here on (in a cluster by
    /// slots, as this one writes to them).
    pub(super) fn take_over(&self) -> Vec<Cmd> {
        if self.tags.is_empty() {
            vec![self.script::<&str>(STRINGS, 0, &[]).arg("0").clone()]
        } else {
            Vec::new()
        }
    }

    /// The commands that write rows; for lists see [`Fence::push`].
    pub(super) fn write(&self, target: &Target, rows: &[Row]) -> Vec<Cmd> {
        let mut commands = Vec::with_capacity(rows.len() / ROWS + 1);
        for (slot, pieces) in self.pieces(rows) {
            for piece in pieces {
                commands.push(match target {
                    Target::Hash { .. } => self.hashes(slot, &piece),
                    Target::String { ttl } => self.strings(slot, &piece, *ttl),
                    // They wait for their checkpoint.
                    Target::List { .. } => continue,
                });
            }
        }
        commands
    }

    /// The commands that push rows to lists.
    pub(super) fn push(&self, append: bool, longest: Option<NonZeroU64>, rows: &[Row], push_for: Push) -> Vec<Cmd> {
        let mut commands = Vec::with_capacity(rows.len() / ROWS + 1);
        for (slot, pieces) in self.pieces(rows) {
            for (place, piece) in pieces.iter().enumerate() {
                let lists = by_key(piece);
                let mut keys = vec![self.key("list", &format!(":{}", self.name), slot)];
                keys.extend(lists.iter().map(|(key, _)| key.to_string()));
                let mut script = self.script(LISTS, slot, &keys);
                script
                    .arg(format!("{:x}", push_for.life))
                    .arg(push_for.checkpoint)
                    .arg(place + 1)
                    .arg(push(append))
                    .arg(longest.map_or(0, NonZeroU64::get));
                for (_, rows) in &lists {
                    script.arg(rows.len());
                    rows.iter().for_each(|row| {
                        script.arg(&row.value);
                    });
                }
                commands.push(script);
            }
        }
        commands
    }

    fn strings(&self, slot: u16, rows: &[&Row], ttl: Option<NonZeroU64>) -> Cmd {
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let mut script = self.script(STRINGS, slot, &keys);
        script.arg(ttl.map_or(0, NonZeroU64::get));
        rows.iter().for_each(|row| {
            script.arg(&row.value);
        });
        script
    }

    fn hashes(&self, slot: u16, rows: &[&Row]) -> Cmd {
        let hashes = by_key(rows);
        let keys: Vec<&str> = hashes.iter().map(|(key, _)| *key).collect();
        let mut script = self.script(HASHES, slot, &keys);
        for (_, rows) in &hashes {
            script.arg(rows.len());
            rows.iter().for_each(|row| {
                script.arg(&row.field).arg(&row.value);
            });
        }
        script
    }

    fn script<K: AsRef<str>>(&self, body: &str, slot: u16, keys: &[K]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command
            .arg(format!("{CHECK}{body}"))
            .arg(keys.len() + 1)
            .arg(self.attempt_key(slot));
        keys.iter().for_each(|key| {
            command.arg(key.as_ref());
        });
        command.arg(self.number);
        command
    }

    /// Rows by slot (0 on a single server), each cut into pieces. A function of the rows alone.
    fn pieces<'a>(&self, rows: &'a [Row]) -> BTreeMap<u16, Vec<Vec<&'a Row>>> {
        let mut slots: BTreeMap<u16, Vec<Vec<&Row>>> = BTreeMap::new();
        let mut sizes: BTreeMap<u16, usize> = BTreeMap::new();
        for row in rows {
            let slot = if self.tags.is_empty() {
                0
            } else {
                slot(row.key.as_bytes())
            };
            let pieces = slots.entry(slot).or_default();
            let size = sizes.entry(slot).or_default();
            match pieces.last_mut() {
                Some(piece) if piece.len() < ROWS && *size + row.value.len() <= BYTES => {
                    piece.push(row);
                    *size += row.value.len();
                }
                _ => {
                    pieces.push(vec![row]);
                    *size = row.value.len();
                }
            }
        }
        slots
    }

    fn attempt_key(&self, slot: u16) -> String {
        self.key("attempt", "", slot)
    }

    fn key(&self, what: &str, name: &str, slot: u16) -> String {
        match self.tags.get(usize::from(slot)) {
            None => format!("{}:{what}{name}", self.base),
            Some(tag) => format!("{}:{what}{name}:{{{tag}}}", self.base),
        }
    }
}

/// Rows by key, in the order in which the keys came first.
fn by_key<'a>(rows: &[&'a Row]) -> Vec<(&'a str, Vec<&'a Row>)> {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    let mut places = BTreeMap::new();
    for row in rows {
        let place = *places.entry(row.key.as_str()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((&row.key, Vec::new()));
        }
        groups[place].1.push(row);
    }
    groups
}
