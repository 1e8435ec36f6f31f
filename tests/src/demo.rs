//! The demo: two authors and a reader on one document, a network that fails each of them, and a table of what it cost.
//!
//! Owns the play and its order. The server is the real program, the clients the real library; only the network is ours.

mod author;
mod report;
mod stage;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tokio::time::Instant;

use crate::server::{Error, Server};
use crate::traces;
use report::{Cut, thousands};
use stage::{Player, Stage};

/// The document that everybody edits.
const DOCUMENT: &str = "demo/friends";

/// How long a network is cut.
const CUT: Duration = Duration::from_secs(7);

/// How long everybody is online before, between and after the cuts.
const ONLINE: Duration = Duration::from_secs(5);

/// Longest time that convergence may take before the demo is called failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    about = "Two authors and a reader on one document, over a network that fails each of them in turn."
)]
pub struct Options {
    /// Stop after the table instead of keeping the server running.
    #[arg(long)]
    once: bool,
    /// How many edits of the history to play.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    edits: usize,
    /// The server program; else it is looked for beside this one.
    #[arg(long, env = "REJOIN_SERVER")]
    server: Option<PathBuf>,
}

/// Plays everything. Whether all replicas and the server ended with the same document.
pub async fn run(options: Options) -> Result<bool, Error> {
    let (trace, origin) = traces::concurrent(traces::FRIENDS);
    let trace = trace.prefix(options.edits);
    let server = Server::start(options.server, &[8787, 0]).await?;
    println!("Rejoin demo");
    println!("  server    {} (data in {})", server.url(), server.data().display());
    println!("  document  {DOCUMENT}");
    println!(
        "  history   {} edits by two authors, {origin}{}, played as fast as they fit",
        thousands(trace.txns.len() as u64),
        if origin == "recorded" { " (friendsforever)" } else { " since no recorded ones are here" },
    );
    println!("  players   ann and bo write, cy reads and comments; each has a disk and a network of its own");
    println!("  a cut     drops every byte both ways and tells nobody; they go on editing meanwhile");
    println!();
    let mut stage = Stage::open(&server, &trace).await?;
    let cuts = play(&mut stage).await?;
    let same = report::table(&stage, &cuts, &server).await?;
    stage.close().await?;
    if !options.once {
        println!();
        println!("The server stays up at {}. Try it, in another terminal:", server.url());
        println!("  cargo run --example notes -- --name ann --server {}", server.socket_url());
        println!("  curl {}/v1/documents", server.url());
        println!("Ctrl-C ends it.");
        tokio::signal::ctrl_c().await?;
        println!();
    }
    server.stop().await?;
    Ok(same)
}

/// Online, a cut for each player in turn with convergence after it, and the rest of the history online.
async fn play(stage: &mut Stage) -> Result<Vec<Cut>, Error> {
    let stretches = Player::ALL.len() as u32;
    let whole = ONLINE * (stretches + 1) + CUT * stretches;
    let mut planned = Duration::ZERO;
    let mut cuts = Vec::new();
    for player in Player::ALL {
        planned += ONLINE;
        act(stage, ONLINE, planned.as_secs_f64() / whole.as_secs_f64()).await?;
        let before = stage.cut(player);
        say(stage, &format!("the network of {player} is cut"));
        planned += CUT;
        act(stage, CUT, planned.as_secs_f64() / whole.as_secs_f64()).await?;
        let cut = stage.heal(player, before, PATIENCE).await?;
        say(
            stage,
            &format!("the network of {player} is back: everybody has the same after {} ms", cut.converged.as_millis()),
        );
        cuts.push(cut);
    }
    act(stage, ONLINE, 1.0).await?;
    stage.settle(PATIENCE).await?;
    while stage.has_work() {
        act(stage, stage::TICK, 1.0).await?;
        stage.settle(PATIENCE).await?;
    }
    say(stage, "the history is at its end");
    Ok(cuts)
}

/// Plays on for `time`, by the end of which `part` of the history is played.
async fn act(stage: &mut Stage, time: Duration, part: f64) -> Result<(), Error> {
    let (start, from) = (Instant::now(), stage.played());
    let mut ticks = tokio::time::interval(stage::TICK);
    loop {
        ticks.tick().await;
        let done = (start.elapsed().as_secs_f64() / time.as_secs_f64()).min(1.0);
        stage.play_to(from + (part - from).max(0.0) * done)?;
        if stage.due_for_a_line() {
            say(stage, "");
        }
        if done >= 1.0 {
            return Ok(());
        }
    }
}

fn say(stage: &Stage, what: &str) {
    println!("{}", report::line(stage, what));
    let _ = std::io::stdout().flush();
}
