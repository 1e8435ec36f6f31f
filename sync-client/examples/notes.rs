//! Shared notes in a terminal: the smallest program that shows what the client can do.
//!
//! ```text
//! cargo run -p sync-server -- serve                  # in one terminal
//! cargo run --example notes -- --name ann            # in another
//! cargo run --example notes -- --name bob            # and another; then type `help`
//! ```
//!
//! A document is a list of notes under the root key `notes`; a note is a map with its author and its text. Type `offline`, go on
//! editing on both sides, and `online` again. Commands are read line by line, so they can also be piped in.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use sync_client::automerge::transaction::{Transactable as _, Transaction};
use sync_client::automerge::{Automerge, AutomergeError, ObjId, ObjType, ROOT, ReadDoc, Value};
use sync_client::{Client, ClientConfig, ClientEvent, ClientSubscription, Document, DocumentEvent};
use sync_client::{InitValue, OutboxEntry, OutboxState, State, Status, Subscription};

/// Shared notes in a terminal.
#[derive(Parser)]
struct Options {
    /// Your name, shown beside your notes.
    #[arg(long)]
    name: String,
    /// The sync server.
    #[arg(long, default_value = "ws://127.0.0.1:8787/sync")]
    server: String,
    /// The folder that keeps your notes on this device [default: rejoin-notes-NAME].
    #[arg(long)]
    store: Option<PathBuf>,
    /// The document to begin with.
    #[arg(long, default_value = "notes/shared")]
    document: String,
    /// Begin without a connection.
    #[arg(long)]
    offline: bool,
}

/// An edit that takes longer to save means that the disk is full or fails. It is kept in memory, and saved once that is possible.
const SAVED_WITHIN: Duration = Duration::from_secs(5);

const HELP: &str = "\
  list               the notes            add TEXT           a new note
  show N             one note in full     edit N TEXT        change its text
  open DOCUMENT      another document     delete N           remove it
  status             is it saved, where   offline | online   cut the connection, come back
  outbox             what the server      wait [SECONDS]     until the server has everything
                     does not have yet    say TEXT           a message to whoever is there
  retry HASH | discard HASH               settle a rejected change (the first digits do)
  export FILE        keep unsent changes elsewhere
  quit               everything typed stays on this device";

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if let Err(error) = run(options).await {
        eprintln!("notes: {error}");
        std::process::exit(1);
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let store = options.store.unwrap_or_else(|| format!("rejoin-notes-{}", options.name).into());
    let mut config = ClientConfig::new(&options.server, &store);
    if options.offline {
        config = config.offline();
    }
    let client = Client::open(config).await?;
    let mut app = App::open(client, options.name, &options.document).await?;
    println!("your notes are kept in {}; type help for what you can do", store.display());

    let mut lines = lines_of_stdin();
    let interactive = std::io::stdin().is_terminal();
    loop {
        if interactive {
            print!("{} {}> ", app.document.name(), word(app.document.status().state));
            std::io::stdout().flush()?;
        }
        // Whatever comes first: something typed, something that others did, something about the connection.
        tokio::select! {
            line = lines.recv() => match line.as_deref().map(str::trim) {
                None | Some("quit" | "exit") => break,
                Some("") => {}
                Some(line) => {
                    if let Err(problem) = app.command(line).await {
                        println!("{problem}");
                    }
                }
            },
            Some(event) = app.events.next() => app.tell(event),
            Some(event) = app.client_events.next() => tell_connection(event),
        }
    }
    let status = app.document.status();
    app.client.close().await?;
    println!("saved on this device; {} not yet on the server", changes(status.pending));
    Ok(())
}

/// Reads lines on a thread of its own, since reading a terminal can't be interrupted. At most 16 wait.
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

struct App {
    client: Client,
    client_events: ClientSubscription,
    document: Document,
    events: Subscription,
    name: String,
    /// The notes as last shown, to say what others changed.
    shown: BTreeMap<ObjId, Note>,
}

#[derive(Clone, PartialEq)]
struct Note {
    author: String,
    text: String,
}

impl App {
    async fn open(client: Client, name: String, document: &str) -> Result<Self, Box<dyn Error>> {
        let client_events = client.subscribe();
        // Reads what this device has, and needs no network.
        let document = client.document(document).await?;
        // The same change on every device, so that lists made while apart are one list.
        document.init("notes", InitValue::List)?;
        let events = document.subscribe();
        let shown = document.read(notes)?.into_iter().collect();
        Ok(Self { client, client_events, document, events, name, shown })
    }

    async fn command(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let (command, rest) = line.split_once(' ').map_or((line, ""), |(c, r)| (c, r.trim()));
        match (command, rest) {
            ("help", _) => println!("{HELP}"),
            ("list", _) => self.list()?,
            ("show", n) => {
                let (_, note) = self.note(n)?;
                println!("{} wrote:\n  {}", note.author, note.text);
            }
            ("open", "") => return Err("open what? for example: open notes/kitchen".into()),
            ("open", document) => {
                *self = Self::open(self.client.clone(), std::mem::take(&mut self.name), document).await?;
                self.list()?;
            }
            ("add", "") => return Err("add what? for example: add buy milk".into()),
            ("add", text) => {
                let author = self.name.clone();
                self.edit("added", |tx| add(tx, &author, text)).await?;
            }
            ("edit", rest) => {
                let (n, text) =
                    rest.split_once(' ').ok_or("which note, and its new text? for example: edit 1 buy oat milk")?;
                let (id, _) = self.note(n)?;
                self.edit("changed", |tx| edit(tx, &id, text)).await?;
            }
            ("delete", n) => {
                let (id, _) = self.note(n)?;
                self.edit("deleted", |tx| delete(tx, &id)).await?;
            }
            ("status", _) => println!("{}", describe(self.document.status())),
            ("outbox", _) => self.document.outbox().iter().for_each(|entry| println!("{}", describe_entry(entry))),
            ("offline", _) => self.client.go_offline()?,
            ("online", _) => self.client.go_online()?,
            ("wait", seconds) => self.wait(seconds).await?,
            ("say", text) => {
                let message = format!("{}: {text}", self.name).into_bytes();
                self.document.emit(message.into(), None)?;
            }
            ("retry", hash) if self.document.retry(self.unsent(hash)?.change)? => println!("sent again"),
            ("retry", _) => return Err("that change was not refused; it is sent by itself".into()),
            ("discard", hash) if self.document.discard(self.unsent(hash)?.change)? => println!("discarded"),
            ("discard", _) => return Err("that change is on its way already".into()),
            ("export", "") => return Err("to which file?".into()),
            ("export", file) => std::fs::write(file, self.document.export())?,
            (other, _) => return Err(format!("there is no command {other}; type help for those there are").into()),
        }
        Ok(())
    }

    /// Makes an edit and waits until it is on this device's disk, which takes a moment whether there is a network or not.
    async fn edit(
        &mut self,
        done: &str,
        f: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<(), Box<dyn Error>> {
        self.tell_changes();
        let ((), change) = self.document.change(f)?;
        self.shown = self.document.read(notes)?.into_iter().collect();
        match tokio::time::timeout(SAVED_WITHIN, self.document.saved(change)).await {
            Ok(saved) => saved?,
            Err(_) => return Err(format!("{done}, but not saved yet: {}", describe(self.document.status())).into()),
        }
        println!("{done}, and saved on this device");
        Ok(())
    }

    fn list(&self) -> Result<(), Box<dyn Error>> {
        let notes = self.document.read(notes)?;
        if notes.is_empty() {
            println!("there are no notes yet; type add and some text");
        }
        for (n, (_, note)) in notes.iter().enumerate() {
            println!("{:3}. {} ({})", n + 1, note.text, note.author);
        }
        Ok(())
    }

    /// The note with a number as shown by `list`.
    fn note(&self, n: &str) -> Result<(ObjId, Note), Box<dyn Error>> {
        let number: usize = n.parse().map_err(|_| "which note? give its number as shown by list")?;
        let notes = self.document.read(notes)?;
        let found = number.checked_sub(1).and_then(|index| notes.into_iter().nth(index));
        found.ok_or_else(|| format!("there is no note {number}; type list to see their numbers").into())
    }

    fn unsent(&self, prefix: &str) -> Result<OutboxEntry, Box<dyn Error>> {
        let mut found = self.document.outbox().into_iter().filter(|e| e.change.to_string().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(entry), None) if !prefix.is_empty() => Ok(entry),
            _ => Err("which change? give the first digits of its hash as shown by outbox".into()),
        }
    }

    /// Waits until nothing is pending, or until the time is up.
    async fn wait(&mut self, seconds: &str) -> Result<(), Box<dyn Error>> {
        let seconds = if seconds.is_empty() { 30 } else { seconds.parse().map_err(|_| "wait how many seconds?")? };
        let document = self.document.clone();
        let settled = async {
            // Subscribed before looking, so that nothing is missed between.
            let mut events = document.subscribe();
            while !is_settled(document.status()) && events.next().await.is_some() {}
        };
        let in_time = tokio::time::timeout(Duration::from_secs(seconds), settled).await.is_ok();
        let status = describe(self.document.status());
        if !in_time {
            return Err(format!("still waiting: {status}").into());
        }
        println!("{status}");
        Ok(())
    }

    /// Says what is different from what was shown last.
    fn tell_changes(&mut self) {
        let Ok(now) = self.document.read(notes) else { return };
        let now: BTreeMap<_, _> = now.into_iter().collect();
        for (id, note) in &now {
            match self.shown.get(id) {
                None => println!("  + {} ({})", note.text, note.author),
                Some(before) if before != note => println!("  ~ {} ({})", note.text, note.author),
                Some(_) => {}
            }
        }
        for note in self.shown.iter().filter(|(id, _)| !now.contains_key(id)).map(|(_, note)| note) {
            println!("  - {} ({})", note.text, note.author);
        }
        self.shown = now;
    }

    /// Says what others did.
    fn tell(&mut self, event: DocumentEvent) {
        match event {
            DocumentEvent::Changed { local: false } | DocumentEvent::Lagged => self.tell_changes(),
            DocumentEvent::Rejected { change, reason, .. } => {
                println!("the server refuses change {}: {reason}; see outbox", short(&change.to_string()));
            }
            DocumentEvent::Emitted { payload, presence: false, .. } => {
                println!("  {}", String::from_utf8_lossy(&payload));
            }
            _ => {}
        }
    }
}

fn tell_connection(event: ClientEvent) {
    match event {
        ClientEvent::Connected => println!("connected"),
        ClientEvent::Disconnected { connected: true, reason } => println!("offline: {reason}"),
        ClientEvent::StorageFailed(error) => println!("not saved on this device: {error}; it is tried again"),
        _ => {}
    }
}

fn add(tx: &mut Transaction<'_>, author: &str, text: &str) -> Result<(), AutomergeError> {
    let list = list_of(tx)?;
    let note = tx.insert_object(&list, tx.length(&list), ObjType::Map)?;
    tx.put(&note, "author", author)?;
    let body = tx.put_object(&note, "text", ObjType::Text)?;
    tx.splice_text(&body, 0, 0, text)
}

/// Changes only the letters that differ, so that two people can edit different parts of a note.
fn edit(tx: &mut Transaction<'_>, note: &ObjId, text: &str) -> Result<(), AutomergeError> {
    match tx.get(note, "text")? {
        Some((_, body)) => tx.update_text(&body, text),
        None => Err(AutomergeError::Fail),
    }
}

fn delete(tx: &mut Transaction<'_>, note: &ObjId) -> Result<(), AutomergeError> {
    let list = list_of(tx)?;
    let index = (0..tx.length(&list)).find(|i| matches!(tx.get(&list, *i), Ok(Some((_, id))) if id == *note));
    index.map_or(Ok(()), |index| tx.delete(&list, index))
}

fn list_of(document: &impl ReadDoc) -> Result<ObjId, AutomergeError> {
    document.get(ROOT, "notes")?.map(|(_, list)| list).ok_or(AutomergeError::Fail)
}

/// The notes in order. What is no note, since another program may write here too, is passed over.
fn notes(document: &Automerge) -> Vec<(ObjId, Note)> {
    let Ok(list) = list_of(document) else { return Vec::new() };
    let note = |index| {
        let (_, id) = document.get(&list, index).ok()??;
        let author = match document.get(&id, "author").ok()?? {
            (Value::Scalar(author), _) => author.as_str()?.to_owned(),
            _ => return None,
        };
        let (_, body) = document.get(&id, "text").ok()??;
        Some((id, Note { author, text: document.text(&body).ok()? }))
    };
    (0..document.length(&list)).filter_map(note).collect()
}

fn describe(status: Status) -> String {
    let mut out = word(status.state).to_owned();
    let counts = [
        (status.pending, "not yet on the server"),
        (status.unsaved, "not yet on this device"),
        (status.rejected, "refused"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        out += &format!(", {} {what}", changes(count));
    }
    if let Some(since) = status.since_sync {
        out += &format!(", last in sync {} s ago", since.as_secs());
    }
    out
}

fn describe_entry(entry: &OutboxEntry) -> String {
    let state = match &entry.state {
        OutboxState::Unsaved => "in memory only".to_owned(),
        OutboxState::Saved => "saved here, not sent".to_owned(),
        OutboxState::Sent => "sent, not answered".to_owned(),
        OutboxState::Rejected { reason, .. } => format!("refused by the server: {reason}"),
    };
    format!("{}  {:4} operations  {state}", short(&entry.change.to_string()), entry.operations)
}

/// Whether the server has answered everything.
fn is_settled(status: Status) -> bool {
    status.pending == 0 && matches!(status.state, State::Synced | State::Rejected)
}

fn word(state: State) -> &'static str {
    match state {
        State::Synced => "synced",
        State::Syncing => "syncing",
        State::Offline => "offline",
        State::Rejected => "rejected",
        State::StorageFull => "storage full",
    }
}

fn changes(count: usize) -> String {
    if count == 1 { "1 change".into() } else { format!("{count} changes") }
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}
