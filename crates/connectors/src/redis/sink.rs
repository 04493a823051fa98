//! Writes rows in pipelines: everything of a flush goes out in one piece and is answered in one piece.
//!
//! With checkpoints, strings and hashes are written as they come, behind a [`Fence`]; pushes to lists wait for their checkpoint.

use super::commands::{Row, Waiting, commands, each_row};
use super::connection::{RedisConnection, Resend};
use super::fence::{Fence, Push};
use super::{RedisTable, Target};
use crate::held::{self, Held, Rows};
use crate::rows::RowEncoder;
use crate::run::RunOptions;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_dataflow::Error;
use hitters_dataflow::sink::{Checkpoint, Sink};

/// Bytes that are gathered before they are sent without a flush.
const MOST: usize = 8 << 20;

/// A Redis table being written.
pub(crate) struct RedisSink {
    table: String,
    spec: RedisTable,
    encoder: RowEncoder,
    connection: RedisConnection,
    /// Places of the key column and the field column.
    columns: (Option<usize>, Option<usize>),
    waiting: Waiting,
    /// With checkpoints.
    fenced: Option<Fenced>,
    reporter: crate::run::Reporter,
    values: Vec<u8>,
    ends: Vec<usize>,
}

struct Fenced {
    fence: Fence,
    /// Rows for lists.
    held: Held,
    /// A random number of the saved state, so that what an earlier state left in Redis is not taken for ours.
    life: u64,
    /// The fence stands.
    begun: bool,
}

impl RedisSink {
    /// `name`: the table's, with a number if several queries write it.
    pub(crate) fn open(
        table: &str,
        name: &str,
        spec: &RedisTable,
        schema: &SchemaRef,
        run: &RunOptions,
    ) -> Result<Self, Error> {
        let connection = RedisConnection::open(&spec.servers, &run.reporter, run.start_timeout.0);
        let mut connection = connection.map_err(|message| Error::Sink {
            table: table.to_string(),
            message,
        })?;
        // Writing a string or a field again changes nothing, pushing again does.
        if run.attempt.is_none() && matches!(spec.target, Target::List { .. }) && !connection.once(&spec.prefix) {
            run.reporter.say(&format!(
                "table {table}: the lists of a Redis cluster may hold rows twice after a broken connection (target = 'hash' or 'string' does not)"
            ));
        }
        let key = spec.key.as_ref().map(|name| schema.index_of(name)).transpose()?;
        let field = match &spec.target {
            Target::Hash { field } => Some(schema.index_of(field)?),
            _ => None,
        };
        let fenced = run.attempt.as_ref().map(|attempt| Fenced {
            fence: Fence::new(attempt, name, spec.servers.cluster),
            held: Held::default(),
            life: rand::random(),
            begun: false,
        });
        Ok(Self {
            table: table.to_string(),
            spec: spec.clone(),
            encoder: spec.format.encoder(),
            connection,
            columns: (key, field),
            waiting: Waiting::default(),
            fenced,
            reporter: run.reporter.clone(),
            values: Vec::new(),
            ends: Vec::new(),
        })
    }

    fn fail(&self, message: String) -> Error {
        Error::Sink {
            table: self.table.clone(),
            message,
        }
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let is_list = matches!(self.spec.target, Target::List { .. });
        let (waiting, fenced) = (&mut self.waiting, &mut self.fenced);
        let take = |key: String, field: &str, value: &[u8]| match fenced {
            Some(fenced) if is_list => fenced.held.push(held::Row {
                key: Some(key.as_bytes()),
                time: None,
                payload: value,
            }),
            _ => {
                let (field, value) = (field.to_string(), value.to_vec());
                waiting.add(Row { key, field, value }, !is_list);
                Ok(())
            }
        };
        each_row(&self.spec.prefix, self.columns, batch, &self.values, &self.ends, take)
    }

    /// Puts the fence up before the first write.
    fn begin(&mut self) -> Result<(), String> {
        if let Some(fenced) = &mut self.fenced
            && !std::mem::replace(&mut fenced.begun, true)
        {
            // Nobody called `recover`: a pipeline that begins.
            self.connection.run(fenced.fence.begin(), Resend::Failed)?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), String> {
        let rows = self.waiting.take();
        if rows.is_empty() {
            return Ok(());
        }
        self.begin()?;
        let commands = match &self.fenced {
            None => commands(&self.spec.target, &rows),
            Some(fenced) => fenced.fence.write(&self.spec.target, &rows),
        };
        self.connection.run(commands, Resend::Failed)
    }

    /// Pushes rows of a checkpoint to their lists, those that are not there yet.
    fn push(&mut self, rows: Rows<'_>, checkpoint: u64) -> Result<(), String> {
        let (Some(fenced), Target::List { append, longest }) = (&self.fenced, &self.spec.target) else {
            return Ok(());
        };
        let row = |row: held::Row<'_>| Row {
            key: String::from_utf8_lossy(row.key.unwrap_or_default()).into_owned(),
            field: String::new(),
            value: row.payload.to_vec(),
        };
        let rows: Vec<Row> = rows.map(row).collect();
        let life = fenced.life;
        let commands = fenced.fence.push(*append, *longest, &rows, Push { life, checkpoint });
        self.connection.run(commands, Resend::All)
    }

    fn restore(&mut self, checkpoint: u64, state: &[u8]) -> Result<(), String> {
        let Some(fenced) = &mut self.fenced else {
            return Err("the checkpoint holds rows of this table, so the run needs checkpoints too".into());
        };
        let (life, rows) = state
            .split_first_chunk()
            .ok_or_else(|| format!("its state in the checkpoint cannot be read: {} bytes", state.len()))?;
        let rows = held::decode(rows)?;
        fenced.life = u64::from_le_bytes(*life);
        fenced.begun = true;
        let take_over = fenced.fence.take_over();
        self.connection.run(take_over, Resend::Failed)?;
        if rows.is_empty() {
            return Ok(());
        }
        if !matches!(self.spec.target, Target::List { .. }) {
            return Err("the checkpoint holds entries of lists, and the table writes none any more: let it write lists again, or start without the saved state".into());
        }
        self.push(rows, checkpoint)
    }
}

impl Sink for RedisSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.values.clear();
        self.ends.clear();
        self.encoder.encode(batch, &mut self.values, &mut self.ends)?;
        self.take(batch).map_err(|message| self.fail(message))?;
        if self.waiting.bytes() >= MOST {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.send().map_err(|message| self.fail(message))
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.flush()?;
        self.begin().map_err(|message| self.fail(message))?;
        let state = |fenced: &mut Fenced| {
            let mut state = fenced.life.to_le_bytes().to_vec();
            state.extend(fenced.held.prepare());
            state
        };
        Ok(self.fenced.as_mut().map(state))
    }

    fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        let Some(fenced) = &mut self.fenced else {
            return Ok(());
        };
        let mut held = std::mem::take(&mut fenced.held);
        let pushed = if held.prepared().is_empty() {
            Ok(())
        } else {
            self.push(held.prepared(), checkpoint.number)
        };
        if pushed.is_ok() {
            held.commit();
        }
        if let Some(fenced) = &mut self.fenced {
            fenced.held = held;
        }
        pushed.map_err(|message| self.fail(message))
    }

    fn recover(&mut self, checkpoint: &Checkpoint<'_>, state: &[u8]) -> Result<(), Error> {
        self.restore(checkpoint.number, state)
            .map_err(|message| self.fail(message))
    }

    fn size(&self) -> usize {
        self.fenced.as_ref().map_or(0, |fenced| fenced.held.size())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.flush()?;
        if let Some(left) = self
            .fenced
            .as_ref()
            .map(|fenced| fenced.held.len())
            .filter(|left| *left > 0)
        {
            self.reporter.say(&format!(
                "table {}: {left} entries of lists since the last checkpoint are not written; the next run does that",
                self.table
            ));
        }
        self.connection.done().map_err(|message| self.fail(message))
    }
}
