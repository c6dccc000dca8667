//! Accepts connections and gives each to hyper. Owns the bounds on connections and time, and the graceful end; knows no
//! route.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::router::{App, app};
use crate::{
    error::{Error, Result},
    metrics::Metrics,
    process::{self, unsent::Connection},
    session::Handle,
};

/// The bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once; more wait in the system's queue. [`serve`] takes as many as the process's file descriptors
    /// allow, 1024 at most.
    pub connections: usize,
    /// How long a client may take to send a request's head, and stay idle between requests.
    pub header_timeout: Duration,
    /// How long a write may make no progress before the connection is closed.
    pub write_stall: Duration,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_timeout: Duration::from_secs(20),
            write_stall: Duration::from_secs(30),
            drain: Duration::from_secs(2),
        }
    }
}

/// How long to wait after a failed `accept`: it fails at once again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then stops accepting, lets requests finish within a bound and closes every WebSocket.
///
/// # Errors
/// Internal when the listener has no address, that is, when it is broken from the start.
pub async fn serve(listener: TcpListener, handle: Handle, shutdown: CancellationToken) -> Result<()> {
    let connections = usize::try_from(process::limits::limits().connections()).unwrap_or(usize::MAX);
    serve_with(listener, handle, Limits { connections, ..Limits::default() }, shutdown).await
}

/// Serves with bounds of one's own.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    listener: TcpListener,
    handle: Handle,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::internal(format!("the listener: {error}")))?;
    tracing::info!(%address, "HTTP listens");
    let metrics = handle.metrics().clone();
    let App { router, sockets } = app(handle);
    let sockets = tokio::spawn(sockets.run(shutdown.clone()));
    let places = Arc::new(Semaphore::new(limits.connections));
    let tracker = TaskTracker::new();
    let abandon = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let place = Place::taken(permit, metrics.clone());
                let connection = connection(stream, place, router.clone(), limits, shutdown.clone(), abandon.clone());
                tracker.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tracker.close();
    let drained = tokio::time::timeout(limits.drain, async {
        let _ = sockets.await;
        tracker.wait().await;
    });
    if drained.await.is_err() {
        tracing::warn!(connections = tracker.len(), "connections are cut after {:?}", limits.drain);
        abandon.cancel();
        tracker.wait().await;
    }
    tracing::info!("HTTP has stopped");
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn connection(
    stream: TcpStream,
    place: Place,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    abandon: CancellationToken,
) {
    // Signalling is small messages that wait for each other.
    let _ = stream.set_nodelay(true);
    let known = Connection::of(&stream);
    let io = Guarded { stream, known: known.clone(), limit: limits.write_stall, stalled: None, _place: place };
    let io = TokioIo::new(io);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(known.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = abandon.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// A connection that gives up on a peer that takes nothing, and keeps its place until it is closed, also after it
/// became a WebSocket.
struct Guarded {
    stream: TcpStream,
    /// As requests know it.
    known: Connection,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

/// A connection's place among those that may be open, counted while it is held.
struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Place {
    fn taken(permit: OwnedSemaphorePermit, metrics: Arc<Metrics>) -> Self {
        metrics.http.connections.inc();
        Self { _permit: permit, metrics }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.http.connections.dec();
    }
}

impl Guarded {
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Before the stream is closed.
        self.known.close();
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
