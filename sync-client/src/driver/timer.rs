//! The task that keeps the replica's time and closes documents that nobody holds any more.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep_until;

use super::Driver;

/// Runs until the client is closed.
pub(super) async fn run(driver: Arc<Driver>) {
    loop {
        let woken = driver.timer.notified();
        let Ok(next) = driver.with(|core, _| core.replica.poll_timeout()) else { return };
        match next {
            None => woken.await,
            Some(at) => {
                let at = driver.origin + Duration::from_micros(at.0);
                tokio::select! {
                    () = sleep_until(at.into()) => {}
                    () = woken => {}
                }
            }
        }
        tick(&driver);
    }
}

fn tick(driver: &Arc<Driver>) {
    let abandoned = std::mem::take(&mut *driver.abandoned.lock().unwrap_or_else(PoisonError::into_inner));
    let _ = driver.with(|core, now| {
        for id in abandoned {
            // It may have been opened again meanwhile.
            if core.documents.get(&id).is_some_and(|entry| entry.handles.strong_count() == 0) {
                core.replica.close(id);
                core.documents.remove(&id);
            }
        }
        if core.replica.poll_timeout().is_some_and(|at| at <= now) {
            core.replica.handle_timeout(now);
        }
    });
}
