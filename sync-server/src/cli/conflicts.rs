//! `conflicts ls | show | resolve | reopen`, of a data folder or of a server that runs.
//!
//! Owns what is asked on the command line and how conflicts are printed. Where they come from, and where answers go, is for `folder` and `remote`.

mod folder;
mod remote;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sync_core::conflict::ConflictId;
use sync_core::desk::{AUTHOR, Chosen, Wish};
use sync_core::id::DocumentName;
use sync_core::settlement::Answer;

use super::Failure;
use crate::conflicts;
use folder::Folder;
use remote::Remote;

/// Longest value that is shown on one line, in characters.
const VALUE_CHARS_MAX: usize = 120;

#[derive(Debug, Args)]
pub(super) struct Conflicts {
    /// The data folder
    #[arg(long, default_value = "./rejoin-data", env = "REJOIN_DATA", global = true)]
    data: PathBuf,
    /// A server that runs, such as http://127.0.0.1:8787, in place of a data folder
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// What the server, or a proxy before it, is to know the caller by: sent as `Authorization: Bearer`
    #[arg(long, env = "REJOIN_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One line for each conflict; also while a server runs on the folder
    Ls(Ls),
    /// One conflict with all its sides; also while a server runs on the folder
    Show(Show),
    /// Answer a conflict for everybody; of a folder while no server runs on it
    Resolve(Resolve),
    /// Take an answer back, for everybody; of a folder while no server runs on it
    Reopen(Reopen),
}

#[derive(Debug, Args)]
struct Ls {
    /// The document; all of the store if absent
    document: Option<DocumentName>,
    /// A JSON object on each line
    #[arg(long)]
    json: bool,
    /// Only those that stand so
    #[arg(long, value_parser = ["open", "superseded", "settled"])]
    state: Option<String>,
}

#[derive(Debug, Args)]
struct Show {
    /// The document
    document: DocumentName,
    /// The conflict, as `ls` names it
    #[arg(value_parser = parse_id)]
    id: ConflictId,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Resolve {
    /// The document
    document: DocumentName,
    /// The conflict, as `ls` names it
    #[arg(value_parser = parse_id)]
    id: ConflictId,
    #[command(flatten)]
    answer: Choice,
    /// The version that was looked at, as `show` says it: an answer to another one is refused
    #[arg(long)]
    version: Option<u64>,
    /// Why, for those who look at it later
    #[arg(long)]
    note: Option<String>,
    /// Who says so
    #[arg(long, default_value = AUTHOR)]
    author: String,
}

#[derive(Debug, Args)]
struct Reopen {
    /// The document
    document: DocumentName,
    /// The conflict, as `ls` names it
    #[arg(value_parser = parse_id)]
    id: ConflictId,
    /// Who says so
    #[arg(long, default_value = AUTHOR)]
    author: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// The side of this number, as `show` counts them
    #[arg(long)]
    pick: Option<usize>,
    /// This value
    #[arg(long, value_name = "JSON", value_parser = parse_value)]
    value: Option<Value>,
    /// Nothing is to stand there
    #[arg(long)]
    remove: bool,
    /// What keeps all sides
    #[arg(long)]
    keep_both: bool,
}

fn parse_id(text: &str) -> Result<ConflictId, String> {
    text.parse().map_err(|()| "a conflict is named by 32 hexadecimal digits".into())
}

fn parse_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("this is no JSON: {e}"))
}

/// Where conflicts are.
enum Source {
    Folder(Folder),
    Server(Remote),
}

impl Source {
    fn names(&mut self) -> Result<Vec<DocumentName>, Failure> {
        match self {
            Self::Folder(folder) => folder.names(),
            Self::Server(server) => server.names(),
        }
    }

    fn conflicts(&mut self, document: &DocumentName) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Folder(folder) => folder.conflicts(document),
            Self::Server(server) => server.conflicts(document),
        }
    }

    fn conflict(&mut self, document: &DocumentName, id: ConflictId) -> Result<Value, Failure> {
        if let Self::Server(server) = self {
            return server.conflict(document, id);
        }
        let found = self.conflicts(document)?.into_iter().find(|conflict| conflict["id"] == id.to_string());
        found.ok_or_else(|| Failure::data(format!("{document}: the document has no conflict {id}")))
    }
}

pub(super) fn run(args: &Conflicts) -> Result<(), Failure> {
    let mut source = match &args.server {
        Some(url) => Source::Server(Remote::new(url, args.token.clone())?),
        None => Source::Folder(Folder::open(&args.data)?),
    };
    match &args.command {
        Command::Ls(ls) => list(&mut source, ls),
        Command::Show(args) => show(&mut source, args),
        Command::Resolve(args) => resolve(source, args),
        Command::Reopen(args) => reopen(source, args),
    }
}

fn list(source: &mut Source, args: &Ls) -> Result<(), Failure> {
    let names = match &args.document {
        Some(document) => vec![document.clone()],
        None => source.names()?,
    };
    let mut unread = 0;
    for document in names {
        let found = match source.conflicts(&document) {
            Ok(found) => found,
            Err(failure) if args.document.is_some() => return Err(failure),
            Err(failure) => {
                unread += 1;
                eprintln!("{}", failure.message);
                continue;
            }
        };
        for conflict in found.iter().filter(|one| args.state.as_deref().is_none_or(|state| one["state"] == state)) {
            if args.json {
                println!("{conflict}");
            } else {
                println!("{}", line(&document, conflict));
            }
        }
    }
    if unread == 0 { Ok(()) } else { Err(Failure::data(format!("{unread} documents can't be read"))) }
}

fn line(document: &DocumentName, conflict: &Value) -> String {
    let sides: Vec<_> = sides(conflict).map(|side| said(side.get("value"))).collect();
    let (path, sides) = (path(conflict), sides.join(" | "));
    format!(
        "{document}  {}  {}  {}  {path}  {sides}",
        word(&conflict["id"]),
        word(&conflict["state"]),
        word(&conflict["kind"])
    )
}

fn sides(conflict: &Value) -> impl Iterator<Item = &Value> {
    conflict["candidates"].as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn path(conflict: &Value) -> String {
    let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), ToOwned::to_owned);
    conflict["path"].as_array().into_iter().flatten().map(step).collect::<Vec<_>>().join("/")
}

/// A value on one line, which nothing in it can break.
fn said(value: Option<&Value>) -> String {
    let text = value.map_or("nothing".into(), Value::to_string);
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn show(source: &mut Source, args: &Show) -> Result<(), Failure> {
    let conflict = source.conflict(&args.document, args.id)?;
    if args.json {
        println!("{conflict:#}");
        return Ok(());
    }
    println!("conflict {}", args.id);
    println!("version  {}", conflict["version"]);
    println!("where    {} in {}", path(&conflict), args.document);
    println!("kind     {}", word(&conflict["kind"]));
    if let Some(mark) = conflict.get("mark") {
        println!("mark     {} on {}", word(&mark["name"]), said(mark.get("words")));
    }
    println!("state    {}", word(&conflict["state"]));
    println!("before   {}", said(conflict.get("base")));
    for (number, side) in sides(&conflict).enumerate() {
        let shown = if side["shown"] == true { ", shown" } else { "" };
        let author = side.get("author").map(|author| format!("{author}, ")).unwrap_or_default();
        let (actor, change) = (word(&side["actor"]), word(&side["change"]));
        println!("side {number}   {}", said(side.get("value")));
        println!("         {author}actor {actor}, at {} ms since 1970, change {change}{shown}", side["at"]);
    }
    if let Some(by) = conflict.get("settledBy") {
        println!("answer   {}, by {}", said(conflict.get("answer")), word(&by["policy"]));
        let author = by.get("author").map(|author| format!("{author}, ")).unwrap_or_default();
        let (actor, change) = (word(&by["actor"]), word(&by["change"]));
        println!("         {author}actor {actor}, at {} ms since 1970, change {change}", by["at"]);
        by.get("note").iter().for_each(|note| println!("note     {note}"));
    }
    Ok(())
}

fn resolve(mut source: Source, args: &Resolve) -> Result<(), Failure> {
    let Resolve { document, id, answer, version, note, author } = args;
    let conflict = source.conflict(document, *id)?;
    // What is answered is what was just read, where nobody says which version was looked at.
    let version = version.or_else(|| conflict["version"].as_u64());
    let side = |number: usize| {
        let side = conflict["candidates"].get(number);
        side.ok_or_else(|| Failure::usage(format!("the conflict has no side {number}")))
    };
    // As a server that runs is told it, and as the folder is.
    let (mut body, chosen) = match (answer.pick, &answer.value) {
        (Some(number), _) => (json!({"pick": side(number)?["change"]}), Chosen::Side(number)),
        (None, Some(value)) => {
            (json!({"value": value}), Chosen::Answer(Answer::Value(Some(conflicts::from_json(value)))))
        }
        (None, None) if answer.keep_both => (json!({"keep": "both"}), Chosen::Answer(Answer::Both)),
        (None, None) => (json!({"remove": true}), Chosen::Answer(Answer::Value(None))),
    };
    let change = match source {
        Source::Server(server) => {
            body["version"] = version.into();
            body["author"] = author.as_str().into();
            if let Some(note) = note {
                body["note"] = note.as_str().into();
            }
            server.send(document, &id.to_string(), &body)?
        }
        Source::Folder(folder) => {
            let (note, author) = (note.clone(), author.clone());
            folder.answer(document, &Wish { id: *id, version, chosen, note, author })?
        }
    };
    println!("{document}: settled {id} by change {change}");
    Ok(())
}

fn reopen(source: Source, args: &Reopen) -> Result<(), Failure> {
    let Reopen { document, id, author } = args;
    let change = match source {
        Source::Server(server) => server.send(document, &format!("{id}/reopen"), &json!({"author": author}))?,
        Source::Folder(folder) => folder.reopen(document, *id, author)?,
    };
    println!("{document}: reopened {id} by change {change}");
    Ok(())
}
