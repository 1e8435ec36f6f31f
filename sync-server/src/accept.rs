//! Accepting connections and reading their requests: who only connects, or asks slowly, is let go.
//!
//! Owns what happens before a request is answered; from an upgrade on a connection belongs to [`crate::socket`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::meter;
use crate::server::stopped;

/// A connection has this long for the head of each request, from the moment it is accepted or was answered last.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Most connections at a time that are no WebSockets (yet). A further one is closed at once.
const REQUESTING_MAX: usize = 1_024;

/// Longest head of a request, in bytes. A longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Pause after the system had no file or memory left for a connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves connections until told to stop and all that are no WebSockets have ended.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(REQUESTING_MAX));
    let (held, mut ended) = mpsc::channel::<()>(1);
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(slot) = slots.clone().try_acquire_owned() else {
                    // Dropping it closes it.
                    meter::refused();
                    continue;
                };
                tokio::spawn(requests(stream, router.clone(), stop.clone(), (slot, held.clone())));
            }
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                tracing::warn!(error = %e, "no connection can be accepted for a moment");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop((listener, held));
    // Each connection holds a sender.
    let _ = ended.recv().await;
}

/// Answers a connection's requests, until it is upgraded, ends, or is too slow.
async fn requests(
    stream: TcpStream,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _held: (OwnedSemaphorePermit, mpsc::Sender<()>),
) {
    // Without it the first update after the handshake waits 40 ms for an acknowledgement.
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(error = %e, "cannot set TCP_NODELAY");
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = served {
        tracing::debug!(error = %e, "a connection has ended before its request was answered");
    }
}

/// Errors that speak of the connection which was to be accepted, not of the system.
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
