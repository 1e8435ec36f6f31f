//! An editor without a person, for tests that kill it: it writes the tokens it is told to, and says what became of each.
//!
//! Commands come by standard input, a line each: `edit TOKEN`, `show`, `status`, `offline`, `online`, `quit`. Answers go to standard output: `saved TOKEN`,
//! `acknowledged TOKEN`, `shows COUNT TOKEN …`, `status STATE PENDING`, `connected`, `disconnected REASON`. Keeps no ledger: that is for whoever outlives it.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use sync_client::automerge::transaction::Transactable as _;
use sync_client::automerge::{ROOT, ReadDoc as _, Value};
use sync_client::{Client, ClientConfig, ClientEvent, Document, InitValue};

/// The list that tokens are appended to.
const KEY: &str = "tokens";

/// Writes tokens, and says what became of each.
#[derive(Clone, Parser)]
struct Options {
    /// The sync server.
    #[arg(long)]
    server: String,
    /// The folder of the local store.
    #[arg(long)]
    store: PathBuf,
    /// The document.
    #[arg(long, default_value = "ledger")]
    document: String,
    /// Longest delay between attempts to connect.
    #[arg(long, default_value_t = 1_000)]
    backoff_ms_max: u64,
    /// An attempt that takes longer is given up.
    #[arg(long, default_value_t = 2_000)]
    connect_within_ms: u64,
}

#[tokio::main]
async fn main() {
    if let Err(error) = run(Options::parse()).await {
        eprintln!("editor: {error}");
        std::process::exit(1);
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut config = ClientConfig::new(&options.server, &options.store);
    config.replica.backoff_max = Duration::from_millis(options.backoff_ms_max);
    config.replica.connect_within = Duration::from_millis(options.connect_within_ms);
    let client = Client::open(config).await?;
    let mut events = client.subscribe();
    let document = client.document(&options.document).await?;
    document.init(KEY, InitValue::List)?;
    say("ready");
    let mut lines = lines_of_stdin();
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref() {
                None | Some("quit") => break,
                Some(line) => command(&client, &document, line)?,
            },
            Some(event) = events.next() => match event {
                ClientEvent::Connected => say("connected"),
                ClientEvent::Disconnected { reason, .. } => say(&format!("disconnected {reason}")),
                ClientEvent::StorageFailed(error) => say(&format!("storage-failed {error}")),
                _ => {}
            },
        }
    }
    client.close().await?;
    say("closed");
    Ok(())
}

fn command(client: &Client, document: &Document, line: &str) -> Result<(), Box<dyn Error>> {
    match line.split_once(' ') {
        Some(("edit", token)) => edit(document, token.to_owned())?,
        None if line == "show" => {
            let tokens = tokens(document)?;
            say(&format!("shows {} {}", tokens.len(), tokens.join(" ")));
        }
        None if line == "status" => {
            let status = document.status();
            say(&format!("status {:?} {}", status.state, status.pending));
        }
        None if line == "offline" => client.go_offline()?,
        None if line == "online" => client.go_online()?,
        _ => return Err(format!("no command: {line:?}").into()),
    }
    Ok(())
}

/// Appends a token; what becomes of it is said when it is known.
fn edit(document: &Document, token: String) -> Result<(), Box<dyn Error>> {
    let written = document.change(|tx| match tx.get(ROOT, KEY)? {
        Some((Value::Object(_), list)) => tx.insert(&list, tx.length(&list), token.as_str()),
        _ => unreachable!("init has made the list"),
    });
    match written {
        Ok(((), id)) => {
            let document = document.clone();
            tokio::spawn(async move {
                // Both fail only when the client is closed.
                if document.saved(id).await.is_ok() {
                    say(&format!("saved {token}"));
                }
                if document.acknowledged(id).await.is_ok() {
                    say(&format!("acknowledged {token}"));
                }
            });
        }
        Err(error) => say(&format!("refused {token} {error}")),
    }
    Ok(())
}

fn tokens(document: &Document) -> Result<Vec<String>, Box<dyn Error>> {
    let read = document.read(|d| {
        let Some((_, list)) = d.get(ROOT, KEY)? else { return Ok(Vec::new()) };
        let strings = d.list_range(&list, ..).map(|item| item.value.into_value().into_string());
        Ok::<_, automerge::AutomergeError>(strings.filter_map(Result::ok).collect())
    })?;
    Ok(read?)
}

/// A whole line at once, so that lines of several tasks don't mix. A reader that has gone ends this program.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(2);
    }
}

/// Reads lines on a thread of its own. At most 16 wait.
fn lines_of_stdin() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
