//! What stands before the router: an answer that was just given needs none of it.

use crate::app::App;
use crate::http::framed;
use crate::{metrics, repeat};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures_util::FutureExt;
use futures_util::future::{Either, Ready, ready};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tower_service::Service;

/// Answers what it can at once; all else goes through the router.
#[derive(Clone)]
pub struct Front {
    /// What both share.
    pub app: Arc<App>,
    /// All paths.
    pub router: Router,
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (app, begun) = (&self.app, Instant::now());
        let given = repeat::answer(app, request.method(), request.uri(), request.headers(), begun);
        // Where it would have to wait, a token whose keys are to be fetched, it waits on the long way.
        match given.now_or_never().flatten() {
            Some(response) => {
                let path = request.uri().path();
                Either::Left(ready(Ok(framed(app, response, path, metrics::question(path), begun))))
            }
            None => Either::Right(self.router.call(request)),
        }
    }
}
