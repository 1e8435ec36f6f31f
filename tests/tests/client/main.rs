//! The native client against a server: as a library, and as the notes example in a process that is killed.

mod api;
mod authors;
mod closures;
mod conflicts;
mod killed;
mod pair;
mod process;
mod rules;
mod server;
mod settling;
mod storage;
mod tls;

/// Longest time a test may take; it would otherwise wait for ever for what does not come.
const IN_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// Runs a test that waits for what a client says.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(IN_TIME, test).await.expect("it takes a second");
}
