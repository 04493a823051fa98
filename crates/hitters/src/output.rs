//! Standard output, shared by all who print rows. When its reader goes away (`| head`), the run ends well.

use std::io::{self, ErrorKind, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A handle; all handles share the knowledge whether somebody still reads.
#[derive(Clone, Debug, Default)]
pub struct Output {
    closed: Arc<AtomicBool>,
}

impl Output {
    /// True when the reader has gone away.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Turns "nobody reads" into "done": the run stops soon, and what is left to write has nowhere to go.
    fn tolerate<T>(&self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.store(true, Relaxed);
                Ok(instead)
            }
            other => other,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed() {
            Ok(bytes.len())
        } else {
            self.tolerate(stdout().lock().write(bytes), bytes.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed() {
            Ok(())
        } else {
            self.tolerate(stdout().lock().flush(), ())
        }
    }
}
