//! Connections whose peer takes nothing, or is gone without a word, end; with them goes what they hold: a seat among the
//! listeners, an answer that is half sent.
//!
//! A peer that stops reading keeps its connection alive for ever, since its machine goes on to say that it is there and has no
//! room. So a write that gets no byte further for some time is an error. What is small enough to fit into the buffers of both
//! machines passes for read; that streams of live updates end after some time bounds this, too.

use axum::serve::Listener;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Sleep;

/// Connections that wait to be accepted.
const WAITING: u32 = 1024;

/// Listens. Accepted connections ask a silent peer, after some hours, whether it is still there.
///
/// # Errors
/// If the address is taken, or is none of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // As `TcpListener::bind`: a service that starts again need not wait for connections of the one before.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// A listener whose connections end when their peers take nothing for so long.
#[derive(Debug)]
pub struct Patiently<L> {
    /// Accepts them.
    pub listener: L,
    /// How long.
    pub most: Duration,
}

impl<L: Listener> Listener for Patiently<L> {
    type Io = Patient<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, peer) = self.listener.accept().await;
        let most = self.most;
        (
            Patient {
                stream,
                most,
                waits: None,
            },
            peer,
        )
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Such a connection.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    most: Duration,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn heard<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.waits = None;
            return done;
        }
        let most = self.most;
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        if waits.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.waits = None;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.heard(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.heard(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.heard(context, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(context);
        self.heard(context, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_slow_reader_is_waited_for_and_one_that_has_stopped_is_not() {
        let (stream, mut peer) = tokio::io::duplex(16);
        let mut patient = Patient {
            stream,
            most: Duration::from_millis(400),
            waits: None,
        };
        let slow = tokio::spawn(async move {
            let mut bytes = [0; 16];
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                peer.read_exact(&mut bytes).await.unwrap();
            }
            peer
        });
        // Longer in all than the time that a write may take, and never so long without progress.
        patient.write_all(&[1; 96]).await.unwrap();
        let _peer = slow.await.unwrap();
        let begun = std::time::Instant::now();
        let error = patient.write_all(&[1; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    }
}
