//! Messages in batches, through librdkafka's `rd_kafka_consume_batch_queue`: the one place with `unsafe` code.
//!
//! A safe poll costs 0.5 us a message (an event, a channel of reference counts), the batch call 0.2 to 0.28 us, a difference
//! of about half of all that a windowed count does with a message. The proof obligations are few:
//!
//! * [`Queue`] owns a queue, a topic handle and the client behind them. Handles come from functions that return null on
//!   failure, which is checked; they are destroyed once, in `Drop`, in the order that librdkafka asks for (messages,
//!   consumption, queue, topic, then the client, which the reference count keeps alive until then).
//! * A [`Message`] owns what the batch call returned and destroys it once. It never leaves its queue: [`Queue::messages`]
//!   lends it, and `Drop` and `fetch`, which destroy, need `&mut`. Its payload and key are valid while it lives: the
//!   C library says so, and lends memory of a fetched response that the message holds a reference to.
//! * librdkafka's functions are thread-safe; a queue may be moved to another thread, but is used by one at a time.
#![allow(unsafe_code)]

use super::client::{Client, Watch};
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// A message or an event of a partition.
#[repr(transparent)]
pub(crate) struct Message(NonNull<sys::rd_kafka_message_t>);

impl Message {
    #[inline(always)]
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: made from a non-null pointer that the batch call gave, which stays valid until `drop`.
        unsafe { self.0.as_ref() }
    }

    /// `None` for a message, else what the partition has to say.
    #[inline(always)]
    pub(crate) fn event(&self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    #[inline(always)]
    pub(crate) fn partition(&self) -> i32 {
        self.raw().partition
    }

    /// Its own offset; of an end-of-partition event, the next one.
    #[inline(always)]
    pub(crate) fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// `None` for a tombstone. Of an event, its text.
    #[inline(always)]
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        let raw = self.raw();
        if raw.payload.is_null() {
            return None;
        }
        // SAFETY: librdkafka says that `len` bytes are there for as long as the message lives, which the borrow ends before.
        Some(unsafe { std::slice::from_raw_parts(raw.payload.cast(), raw.len) })
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        if raw.key.is_null() {
            return None;
        }
        // SAFETY: as for the payload.
        Some(unsafe { std::slice::from_raw_parts(raw.key.cast(), raw.key_len) })
    }

    /// Milliseconds since the epoch, if the message has a time.
    #[inline(always)]
    pub(crate) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: a valid message and a place for the kind.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time >= 0).then_some(time)
    }

    /// The text of an event.
    pub(crate) fn explain(&self) -> String {
        // SAFETY: a valid message; the text is static or belongs to the message.
        let text = unsafe { sys::rd_kafka_message_errstr(self.0.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: not null, and ended by a zero byte, as all texts of the library.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Drop for Message {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: owned, and destroyed nowhere else.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Reads some partitions of one topic.
pub(crate) struct Queue {
    messages: Vec<Message>,
    slots: Vec<*mut sys::rd_kafka_message_t>,
    started: Vec<i32>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    topic: NonNull<sys::rd_kafka_topic_t>,
    client: Arc<Client>,
}

// SAFETY: the handles may be used from any thread (librdkafka is thread-safe), and messages belong to no thread.
unsafe impl Send for Queue {}

impl Queue {
    /// A queue for at most `size` messages at a time.
    pub(crate) fn new(client: Arc<Client>, topic: &str, size: usize) -> Result<Self, String> {
        let name = CString::new(topic).map_err(|_| format!("the name of topic '{topic}' holds a zero byte"))?;
        let handle = client.client().native_ptr();
        // SAFETY: a live client, a name that ends with a zero byte, and null for the default settings.
        let opened = NonNull::new(unsafe { sys::rd_kafka_topic_new(handle, name.as_ptr(), std::ptr::null_mut()) });
        let topic = opened.ok_or_else(|| format!("librdkafka cannot open topic '{topic}'"))?;
        // SAFETY: a live client.
        let Some(queue) = NonNull::new(unsafe { sys::rd_kafka_queue_new(handle) }) else {
            // SAFETY: made above and used by nothing yet.
            unsafe { sys::rd_kafka_topic_destroy(topic.as_ptr()) };
            return Err("librdkafka cannot make a queue".into());
        };
        let slots = vec![std::ptr::null_mut(); size];
        Ok(Self {
            messages: Vec::with_capacity(size),
            slots,
            started: Vec::new(),
            queue,
            topic,
            client,
        })
    }

    /// Begins to fetch a partition.
    pub(crate) fn start(&mut self, partition: i32, offset: i64) -> Result<(), String> {
        // SAFETY: live handles of one client.
        let result =
            unsafe { sys::rd_kafka_consume_start_queue(self.topic.as_ptr(), partition, offset, self.queue.as_ptr()) };
        if result != 0 {
            // SAFETY: reads a number of this thread.
            let code = RDKafkaErrorCode::from(unsafe { sys::rd_kafka_last_error() });
            return Err(format!("partition {partition} cannot be read: {code}"));
        }
        self.started.push(partition);
        Ok(())
    }

    /// Fetches a partition that was started from an offset again, and says whether that is its end. Does not wait; while its
    /// leader is away it does what it can.
    pub(crate) fn seek(&mut self, partition: i32, offset: i64) {
        // SAFETY: a live topic handle. Of a partition that was not started, and of any other failure, the result speaks; whoever
        // asks for the end of a partition and gets no answer asks again.
        let _ = unsafe { sys::rd_kafka_seek(self.topic.as_ptr(), partition, offset, 0) };
    }

    /// Ends fetching a partition.
    pub(crate) fn stop(&mut self, partition: i32) {
        if let Some(place) = self.started.iter().position(|&started| started == partition) {
            self.started.swap_remove(place);
            // SAFETY: a live topic handle and a partition that was started on it.
            unsafe { sys::rd_kafka_consume_stop(self.topic.as_ptr(), partition) };
        }
    }

    /// Drops the messages of the last time and takes new ones, waiting for the first of them.
    ///
    /// The batch call waits until the batch is full, which would hold back the last events of a quiet stream. So the
    /// first message is waited for alone, and then only those are taken that are there.
    pub(crate) fn fetch(&mut self, wait: Duration) {
        self.messages.clear();
        if self.take(Duration::ZERO, self.slots.len()) == 0 && !wait.is_zero() && self.take(wait, 1) > 0 {
            self.take(Duration::ZERO, self.slots.len() - 1);
        }
    }

    fn take(&mut self, wait: Duration, most: usize) -> usize {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let most = most.min(self.slots.len());
        // SAFETY: a live queue, and room for `most` pointers in `slots`.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, self.slots.as_mut_ptr(), most) };
        let count = usize::try_from(count).unwrap_or(0).min(most);
        // The first `count` slots are filled with messages that are ours now; each becomes one owner.
        self.messages.extend(
            self.slots[..count]
                .iter()
                .filter_map(|&raw| NonNull::new(raw))
                .map(Message),
        );
        count
    }

    /// What the last [`Queue::fetch`] took.
    #[inline(always)]
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn watch(&self) -> &Watch {
        self.client.context()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.messages.clear();
        for partition in std::mem::take(&mut self.started) {
            // SAFETY: a live topic handle and a partition that was started on it.
            unsafe { sys::rd_kafka_consume_stop(self.topic.as_ptr(), partition) };
        }
        // SAFETY: both made by `new`, destroyed only here, and before the client, which `self.client` still holds.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
            sys::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}
