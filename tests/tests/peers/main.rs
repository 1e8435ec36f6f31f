//! Ways in which sync engines were seen to fail when they were run hard: each a test on real processes that ours does not.
//!
//! Where a failure was seen stands at its test. A tenth, a client older than compaction that is told it is synced and holds nothing, is tested
//! where the server's compaction is: `sync-server/tests/compaction.rs`.

mod acknowledged;
mod opening;
mod pending;
#[path = "../client/process.rs"]
#[allow(dead_code, reason = "what is not used here is used there")]
mod process;
mod slow;
mod stored;
mod support;
#[path = "../hostile/writer.rs"]
#[allow(dead_code, reason = "what is not used here is used there")]
mod writer;
