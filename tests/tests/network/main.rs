//! Real processes on networks and clocks that fail: a server and editors, cut apart while they go on, and what is left afterwards.
//!
//! What a proxy can do to a connection runs everywhere. Hosts of their own (network namespaces) and false clocks need root on Linux; where that is missing
//! these tests say so and show the same on the proxy only.

mod clocks;
mod hosts;
mod lines;
mod partitions;
mod story;

use std::time::Duration;

/// Both ends hear nothing for longer than this before they give a connection up: the server's heartbeat of a second, doubled.
const SILENCE: Duration = Duration::from_secs(2);

/// Once a network is good again everything has arrived within this time: silence is noticed, the attempt under way is given up (2 s), the wait before the next
/// one is over (1 s), and a busy machine gets the rest.
const HEALED_WITHIN: Duration = Duration::from_secs(25);

/// How long nothing but heartbeats may be heard before two sides count as being at rest.
const REST: Duration = Duration::from_secs(3);

/// Most bytes of one heartbeat with its answer, each way, with the WebSocket's headers.
const HEARTBEAT_BYTES_MAX: u64 = 40;
