//! What is printed: a line each second while the demo plays, and the table at its end.

use std::time::Duration;

use super::DOCUMENT;
use super::stage::{Player, Stage};
use crate::proxy::Counts;
use crate::server::{Error, Server};
use sync_client::State;

/// What one cut did and what coming back cost.
#[derive(Debug)]
pub(super) struct Cut {
    /// Whose network.
    pub(super) player: Player,
    /// How long.
    pub(super) lasted: Duration,
    /// Edits made meanwhile.
    pub(super) edits: usize,
    /// Changes in the outbox when the network came back: edits of a tenth of a second make one.
    pub(super) changes: usize,
    /// Bytes that vanished.
    pub(super) swallowed: u64,
    /// What went over this player's network from then until everybody had everything.
    pub(super) cost: Counts,
    /// How long that took.
    pub(super) converged: Duration,
}

/// A number with separators between thousands.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size for people.
fn bytes(n: u64) -> String {
    if n < 10_000 { format!("{} B", thousands(n)) } else { format!("{:.1} kB", n as f64 / 1e3) }
}

/// Where everybody stands, and what has just happened.
pub(super) fn line(stage: &Stage, what: &str) -> String {
    let seconds = stage.start.elapsed().as_secs_f64();
    let mut out = format!("{seconds:5.1} s  {:3.0} %", stage.played() * 100.0);
    for (player, cast) in &stage.cast {
        let status = cast.document.status();
        let state = match status.state {
            _ if cast.cut => "CUT",
            State::Synced => "synced",
            State::Syncing => "syncing",
            State::Offline => "offline",
            State::Rejected => "rejected",
            State::StorageFull => "disk full",
        };
        out += &format!("  {:4}{state:8}{:>4} queued", player.to_string(), status.pending);
    }
    if what.is_empty() { out } else { format!("{out}  << {what}") }
}

/// One character a column: how long the outbox was, the longest of each column's time.
fn sparkline(samples: &[usize], columns: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = samples.iter().copied().max().unwrap_or(0).max(1);
    let per_column = samples.len().div_ceil(columns).max(1);
    let columns = samples.chunks(per_column).map(|c| c.iter().copied().max().unwrap_or(0));
    columns.map(|n| if n == 0 { ' ' } else { BARS[n * (BARS.len() - 1) / highest] }).collect()
}

/// Prints the table and compares. Whether all replicas and the server hold the same.
pub(super) async fn table(stage: &Stage, cuts: &[Cut], server: &Server) -> Result<bool, Error> {
    println!();
    println!("Coming back after a cut");
    let heads =
        ["", "cut for", "edits offline", "as changes", "dropped", "sent", "received", "round trips", "all equal"];
    let cells = |c: [String; 9]| {
        println!(
            "  {:5}{:>8}{:>15}{:>12}{:>9}{:>9}{:>10}{:>13}{:>11}",
            c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]
        )
    };
    cells(heads.map(String::from));
    for cut in cuts {
        cells([
            cut.player.to_string(),
            format!("{:.1} s", cut.lasted.as_secs_f64()),
            thousands(cut.edits as u64),
            thousands(cut.changes as u64),
            bytes(cut.swallowed),
            bytes(cut.cost.up_bytes),
            bytes(cut.cost.down_bytes),
            cut.cost.round_trips.to_string(),
            format!("{} ms", thousands(cut.converged.as_millis() as u64)),
        ]);
    }
    println!(
        "  What an author types within 0.15 s is one change. Dropped is what vanished in the cut; sent, received and round trips"
    );
    println!(
        "  are counted from the player's return until everybody held everything, the WebSocket handshake included (a trip takes 40 ms)."
    );
    println!();
    println!("Outbox: changes not yet on the server, over time");
    for (player, cast) in &stage.cast {
        let most = cast.outbox.iter().max().copied().unwrap_or(0);
        println!("  {:8}|{}| at most {most}", player.to_string(), sparkline(&cast.outbox, 72));
    }
    println!();
    let server = server.document(DOCUMENT).await?;
    let text = server.get("text").and_then(|t| t.as_str()).unwrap_or_default();
    let comments = server.get("comments").and_then(|c| c.as_array()).cloned().unwrap_or_default();
    println!("Who holds what");
    let row = |who: &str, text: &str, comments: usize, same: bool| {
        let verdict = if same { "the same as the server" } else { "NOT the same as the server" };
        println!("  {who:8}{:>8} characters{comments:>5} comments  {verdict}", thousands(text.chars().count() as u64));
        same
    };
    println!("  {:8}{:>8} characters{:>5} comments", "server", thousands(text.chars().count() as u64), comments.len());
    let mut all = !text.is_empty();
    for (player, cast) in &stage.cast {
        let (own, own_comments) = (cast.text(), cast.comments());
        all &= row(&player.to_string(), &own, own_comments.len(), own == text && own_comments == comments);
    }
    let edits: usize = stage.cast.values().map(|c| c.edits).sum();
    println!();
    println!(
        "{}: {} edits by three players, {} of them offline, in {:.0} s.",
        if all { "All replicas and the server hold the same document" } else { "THE REPLICAS DIFFER" },
        thousands(edits as u64),
        thousands(cuts.iter().map(|c| c.edits as u64).sum()),
        stage.start.elapsed().as_secs_f64(),
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bars_read_well() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(26_078), "26,078");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(sparkline(&[0, 1, 8, 0], 4), " ▁█ ");
        assert_eq!(sparkline(&[0, 0, 3, 0], 2), " █");
    }
}
