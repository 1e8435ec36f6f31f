//! From an HTTP request to a WebSocket connection: who may, and with which bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sync_core::id::SessionId;
use sync_core::protocol::{FRAME_BYTES_AT_FIRST, SUBPROTOCOL};

use super::{App, error, origin_allowed};
use crate::health::Trouble;
use crate::socket;

/// tungstenite zeroes and keeps this much per connection: with its own 128 KiB an idle connection costs 137 KB. It grows for longer messages,
/// which are read in pieces of this size; what editors type takes a tenth of it.
const READ_BUFFER_BYTES: usize = 1 << 10;

/// Bytes gathered before they are written without a flush.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// What a WebSocket message may hold beyond the negotiated frame, so that the session itself can say what is wrong with it.
const FRAME_SLACK_BYTES: usize = 64 << 10;

/// `GET /sync`.
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !origin_allowed(&headers, &app.allow_origin) {
        return error(StatusCode::FORBIDDEN, "forbidden-origin", "this origin is not allowed (--allow-origin)");
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the WebSocket subprotocol {SUBPROTOCOL} is required");
        return error(StatusCode::BAD_REQUEST, "subprotocol-required", message);
    }
    if app.health.trouble() == Some(Trouble::Stopping) {
        return error(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping");
    }
    let Some(slot) = Slot::take(&app.connections, app.connections_max) else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many connections");
    };
    let id = SessionId(app.sessions.fetch_add(1, Ordering::Relaxed));
    let frame = FRAME_BYTES_AT_FIRST.max(app.surroundings.session.limits.frame_bytes_max as usize);
    let (surroundings, alive) = (app.surroundings.clone(), app.alive.clone());
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + 2 * (frame + FRAME_SLACK_BYTES))
        .max_message_size(frame + FRAME_SLACK_BYTES)
        .max_frame_size(frame + FRAME_SLACK_BYTES)
        .on_upgrade(move |socket| {
            let connection = socket::serve(socket, id, surroundings);
            async move {
                let _held = (slot, alive);
                connection.await;
            }
        })
}

/// One of the connections allowed at a time.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        if taken.fetch_add(1, Ordering::Relaxed) >= max {
            taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(taken.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
