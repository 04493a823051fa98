//! Reads some partitions on one thread: a batch of messages at a time, decoded out of librdkafka's own memory, one record
//! batch for each partition that the messages belong to.
//!
//! Memory: the messages of one batch, the rows of one record batch, and what librdkafka fetched ahead. The messages stay
//! until the next batch is taken, so that rows can still be rejected.

use super::batch::{Message, Queue};
use super::client::serve;
use super::growth::Growth;
use super::offsets::gone;
use crate::bad::BadRows;
use crate::rows::{Envelope, RowDecoder};
use arrow::buffer::ScalarBuffer;
use hitters_dataflow::Error;
use hitters_dataflow::source::{Poll, Reader, Rows};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How often errors of the client are looked at.
const SERVE: Duration = Duration::from_millis(100);

/// One partition.
pub(crate) struct Part {
    number: i32,
    /// The next offset.
    next: i64,
    /// Where the run ends.
    end: Option<i64>,
    done: bool,
}

impl Part {
    pub(crate) fn new(number: i32, next: i64, end: Option<i64>, done: bool) -> Self {
        Self {
            number,
            next,
            end,
            done,
        }
    }

    /// The next offset.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// The record at an offset was read.
    pub(super) fn pass(&mut self, offset: i64) {
        self.next = offset + 1;
    }
}

pub(crate) struct KafkaReader {
    queue: Queue,
    topic: String,
    parts: Vec<Part>,
    decoder: RowDecoder,
    bad: BadRows,
    /// Rows carry the time of their message.
    times: bool,
    /// What is to be said before the next messages.
    events: VecDeque<Poll>,
    /// Messages of one partition that follow each other in the batch: place in `parts` and in the batch.
    runs: Vec<(usize, Range<usize>)>,
    /// Runs not yet decoded begin here.
    run: usize,
    /// The message of each row of the last record batch.
    given: Vec<u32>,
    given_part: usize,
    served: Instant,
    /// One reader of a topic that is followed for ever looks after it.
    growth: Option<Growth>,
}

impl KafkaReader {
    pub(crate) fn new(
        queue: Queue,
        topic: String,
        parts: Vec<Part>,
        decoder: RowDecoder,
        bad: BadRows,
        times: bool,
        growth: Option<Growth>,
    ) -> Self {
        let events = parts
            .iter()
            .filter(|part| part.done)
            .map(|part| Poll::End(part.number))
            .collect();
        let (runs, given) = (Vec::new(), Vec::new());
        Self {
            queue,
            topic,
            parts,
            decoder,
            bad,
            times,
            events,
            runs,
            run: 0,
            given,
            given_part: 0,
            served: Instant::now(),
            growth,
        }
    }

    /// Takes the next messages and sorts them by partition.
    fn fetch(&mut self, wait: Duration) {
        if self.served.elapsed() >= SERVE {
            serve(self.queue.client());
            self.queue.watch().remind();
            if let Some(growth) = &mut self.growth {
                growth.look(self.queue.client());
            }
            self.served = Instant::now();
        }
        self.queue.fetch(wait);
        self.runs.clear();
        self.run = 0;
        let messages = self.queue.messages();
        // Messages and ends of partitions come from a broker; other events may be the client's own complaints.
        let answered = |message: &Message| {
            message
                .event()
                .is_none_or(|event| event == RDKafkaErrorCode::PartitionEOF)
        };
        if messages.iter().any(answered) {
            self.queue.watch().alive();
        }
        let mut begin = 0;
        while begin < messages.len() {
            let number = messages[begin].partition();
            let length = messages[begin..]
                .iter()
                .take_while(|message| message.partition() == number)
                .count();
            if let Some(part) = self.parts.iter().position(|part| part.number == number && !part.done) {
                self.runs.push((part, begin..begin + length));
            }
            begin += length;
        }
        self.runs.sort_by_key(|(part, _)| *part);
    }

    /// Decodes the messages of the next partition. `None`: they were no rows.
    fn decode(&mut self) -> Result<Option<Rows>, Error> {
        let part_place = self.runs[self.run].0;
        let part = &mut self.parts[part_place];
        self.given.clear();
        self.given_part = part_place;
        let mut times = Vec::new();
        let (mut records, mut bytes, mut bad) = (0, 0, 0);
        let mut caught_up = false;
        while let Some((_, run)) = self.runs.get(self.run).filter(|(part, _)| *part == part_place) {
            for place in run.clone() {
                let message = &self.queue.messages()[place];
                if part.done {
                    break;
                }
                if let Some(event) = message.event() {
                    caught_up |= end_of_partition(event, message, part, &self.topic)
                        .map_err(|message| self.bad.error(message))?;
                    continue;
                }
                let offset = message.offset();
                if part.end.is_some_and(|end| offset >= end) {
                    part.done = true;
                    break;
                }
                part.next = offset + 1;
                records += 1;
                caught_up = false;
                // A message without a value is a tombstone of a compacted topic: no row, and nothing wrong.
                let Some(payload) = message.payload() else { continue };
                bytes += payload.len() as u64;
                let timestamp = message.timestamp();
                let time = match (self.times, timestamp) {
                    (false, _) => 0,
                    (true, Some(millis)) if millis <= i64::MAX / 1_000_000 => millis * 1_000_000,
                    (true, _) => {
                        bad += 1;
                        self.bad.take(
                            Some(part.number),
                            offset,
                            payload,
                            "the message has no timestamp between 1970 and 2262",
                        )?;
                        continue;
                    }
                };
                let envelope = Envelope {
                    offset,
                    partition: part.number,
                    timestamp,
                    topic: &self.topic,
                    key: message.key(),
                };
                let before = self.decoder.len();
                let policy = &self.bad;
                self.decoder.push(payload, &envelope, |row, reason| {
                    bad += 1;
                    policy.take(Some(envelope.partition), offset, row, &reason)
                })?;
                for _ in before..self.decoder.len() {
                    self.given.push(place as u32);
                    if self.times {
                        times.push(time);
                    }
                }
            }
            self.run += 1;
        }
        if part.end.is_some_and(|end| part.next >= end) {
            part.done = true;
        }
        if part.done {
            self.queue.stop(part.number);
            self.events.push_back(Poll::End(part.number));
        } else if caught_up {
            self.events.push_back(Poll::CaughtUp(part.number));
        }
        if records == 0 {
            return Ok(None);
        }
        let (partition, next) = (part.number, part.next);
        let batch = self.decoder.finish()?;
        Ok(Some(Rows {
            partition,
            batch,
            times: ScalarBuffer::from(times),
            next,
            records,
            bytes,
            bad,
        }))
    }
}

/// True if the partition is read up to its present end.
pub(super) fn end_of_partition(
    event: RDKafkaErrorCode,
    message: &Message,
    part: &mut Part,
    topic: &str,
) -> Result<bool, String> {
    match event {
        RDKafkaErrorCode::PartitionEOF => {
            // Markers of transactions and gaps of compaction take offsets and are no messages.
            part.next = part.next.max(message.offset());
            Ok(true)
        }
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            Err(gone(topic, part.number, part.next, &message.explain()))
        }
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::MessageSizeTooLarge
        | RDKafkaErrorCode::BadMessage
        | RDKafkaErrorCode::BadCompression
        | RDKafkaErrorCode::NotImplemented => Err(format!(
            "partition {} of topic '{topic}' cannot be read at offset {}: {}",
            part.number,
            part.next,
            message.explain()
        )),
        // The rest passes: a leader moves, a broker restarts. The client tries again, and the watch speaks of outages.
        _ => Ok(false),
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, Error> {
        let until = Instant::now() + wait;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if self.run < self.runs.len() {
                if let Some(rows) = self.decode()? {
                    return Ok(Poll::Rows(rows));
                }
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            // Short waits, so that an outage is noticed while nothing comes.
            self.fetch(left.min(SERVE));
            if self.runs.is_empty() && left.is_zero() {
                return Ok(Poll::Idle);
            }
        }
    }

    fn look(&mut self, partition: i32) -> Result<bool, Error> {
        let Some(place) = self
            .parts
            .iter()
            .position(|part| part.number == partition && !part.done)
        else {
            return Ok(false);
        };
        // Messages that were taken and not read yet are an answer too, and would be fetched a second time.
        if !self.runs[self.run..].iter().any(|(part, _)| *part == place) {
            self.queue.seek(partition, self.parts[place].next);
        }
        Ok(true)
    }

    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), Error> {
        let number = self.parts.get(self.given_part).map_or(0, |part| part.number);
        for (row, reason) in rows {
            let message = self
                .given
                .get(*row)
                .and_then(|&place| self.queue.messages().get(place as usize));
            let (offset, payload) = message.map_or((0, &[][..]), |message| {
                (message.offset(), message.payload().unwrap_or_default())
            });
            self.bad.take(Some(number), offset, payload, reason)?;
        }
        Ok(())
    }
}
