//! Connections: accepted, served, and ended in good order.
//!
//! A connection that asks nothing for some time, or takes longer to say what it wants, is closed: clients that are gone and
//! clients that send a byte a minute hold nothing for long. HTTP/1.1 only.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use tower_service::Service;

/// Serves the connections of a listener until `ending` turns true; then each request that has begun is answered. `idle` is how long
/// a connection may be without a whole request.
pub async fn serve<L, S>(mut listener: L, service: S, idle: Duration, mut ending: watch::Receiver<bool>)
where
    L: Listener,
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(idle);
    // Nothing is sent over it: it closes when the last connection has ended.
    let (open, mut closed) = tokio::sync::mpsc::channel::<Infallible>(1);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let (http, service, open, mut ending) = (http.clone(), service.clone(), open.clone(), ending.clone());
        tokio::spawn(async move {
            let _open = open;
            let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                service.clone().call(request.map(Body::new))
            });
            let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
            tokio::select! {
                // Its client broke it off, or sent no HTTP: it has been told, and nobody else has to know.
                _ = connection.as_mut() => return,
                _ = ending.wait_for(|ending| *ending) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
    drop((listener, open));
    let _ = closed.recv().await;
}
