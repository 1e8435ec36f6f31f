//! `conflicts ls | show | resolve`.
//!
//! Listing reads beside a running server. An answer is written with the folder locked, as one more change at the end of the log, through the
//! checks that everything imported passes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use automerge::Author;
use automerge::transaction::CommitOptions;
use clap::{Args, Subcommand};
use sha2::{Digest as _, Sha256};
use sync_core::change::Change;
use sync_core::conflict::{ConflictId, PathPart, Value};
use sync_core::document::{InitValue, init_change};
use sync_core::id::{ActorId, DocumentName, StoreId};
use sync_core::limits::ChangeLimits;
use sync_core::settlement::{self, Answer, Listed, Plan, Seen};

use super::{Failure, transfer};
use crate::clock::Clock;
use crate::conflicts::{self, Found};
use crate::store::{Options, ReadStore, SqliteReader, SqliteStore};
use crate::walk::{self, Walk};

/// Longest value that is shown on one line, in characters.
const VALUE_CHARS_MAX: usize = 120;

#[derive(Debug, Args)]
pub(super) struct Conflicts {
    /// The data folder
    #[arg(long, default_value = "./rejoin-data", env = "REJOIN_DATA", global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One line for each conflict; also while a server runs on the folder
    Ls(Ls),
    /// One conflict with all its sides; also while a server runs on the folder
    Show(Show),
    /// Answer a conflict for everybody; no server may be running
    Resolve(Resolve),
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
    answer: Chosen,
    /// The version that was looked at, as `show` says it: an answer to another one is refused
    #[arg(long)]
    version: Option<u64>,
    /// Why, for those who look at it later
    #[arg(long)]
    note: Option<String>,
    /// Who says so
    #[arg(long, default_value = "sync-server")]
    author: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// The side of this number, as `show` counts them
    #[arg(long)]
    pick: Option<usize>,
    /// This value
    #[arg(long, value_name = "JSON", value_parser = parse_value)]
    value: Option<serde_json::Value>,
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

fn parse_value(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|e| format!("this is no JSON: {e}"))
}

pub(super) fn run(args: &Conflicts) -> Result<(), Failure> {
    let reader = || SqliteReader::open(&args.data).map_err(|e| Failure::store(&args.data, e));
    match &args.command {
        Command::Ls(ls) => list(&mut reader()?, ls),
        Command::Show(args) => show(&mut reader()?, args),
        Command::Resolve(resolve) => {
            // Before a folder that holds no store could be made into one.
            drop(reader()?);
            answer(args, resolve)
        }
    }
}

fn list(reader: &mut SqliteReader, args: &Ls) -> Result<(), Failure> {
    let names = match &args.document {
        Some(document) => vec![document.clone()],
        None => {
            let names = reader.names().map_err(Failure::data)?;
            names.iter().filter_map(|name| DocumentName::parse(name).ok()).collect()
        }
    };
    let mut unread = 0;
    for document in names {
        let found = match read(reader, &document) {
            Ok((found, _)) => found,
            Err(failure) if args.document.is_some() => return Err(failure),
            Err(failure) => {
                unread += 1;
                eprintln!("{}", failure.message);
                continue;
            }
        };
        for listed in
            found.listed.iter().filter(|listed| args.state.as_deref().is_none_or(|s| s == listed.state().name()))
        {
            if args.json {
                println!("{}", conflicts::to_json(&document, listed));
            } else {
                println!("{}", line(&document, listed));
            }
        }
    }
    if unread == 0 { Ok(()) } else { Err(Failure::data(format!("{unread} documents can't be read"))) }
}

fn line(document: &DocumentName, listed: &Listed) -> String {
    let conflict = &listed.conflict;
    let sides: Vec<_> = conflict.candidates.iter().map(|side| said(side.value.as_ref())).collect();
    let path = path(&conflict.path);
    format!(
        "{document}  {}  {}  {}  {path}  {}",
        conflict.id,
        listed.state().name(),
        conflict.kind.name(),
        sides.join(" | ")
    )
}

fn path(path: &[PathPart]) -> String {
    let step = |step: &PathPart| match step {
        PathPart::Key(key) => key.clone(),
        PathPart::Index(index) => index.to_string(),
    };
    path.iter().map(step).collect::<Vec<_>>().join("/")
}

/// A value on one line, which nothing in it can break.
fn said(value: Option<&Value>) -> String {
    let text = value.map_or("nothing".into(), |value| conflicts::value(value).to_string());
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn show(reader: &mut SqliteReader, args: &Show) -> Result<(), Failure> {
    let (found, _) = read(reader, &args.document)?;
    let listed = pick(&found, &args.document, args.id)?;
    if args.json {
        println!("{:#}", conflicts::to_json(&args.document, listed));
        return Ok(());
    }
    let conflict = &listed.conflict;
    println!("conflict {}", conflict.id);
    println!("version  {}", conflict.version);
    println!("where    {} in {}", path(&conflict.path), args.document);
    println!("kind     {}", conflict.kind.name());
    println!("state    {}", listed.state().name());
    println!("before   {}", said(conflict.base.as_ref()));
    for (number, side) in conflict.candidates.iter().enumerate() {
        let shown = if side.shown { ", shown" } else { "" };
        let author = side.author.as_ref().map(|author| format!("{:?}, ", String::from_utf8_lossy(author)));
        println!("side {number}   {}", said(side.value.as_ref()));
        let (author, actor) = (author.unwrap_or_default(), &side.actor);
        println!("         {author}actor {actor}, at {} ms since 1970, change {}{shown}", side.time, side.change);
    }
    if let Some(settled) = &listed.settled {
        println!("answer   {}, by {}", said(listed.answer.as_ref()), settled.policy);
        settled.note.iter().for_each(|note| println!("note     {note:?}"));
    }
    Ok(())
}

fn answer(args: &Conflicts, resolve: &Resolve) -> Result<(), Failure> {
    let document = &resolve.document;
    let at = |e: String| Failure::data(format!("{document}: {e}"));
    let limits = ChangeLimits::default();
    if resolve.author.len() > limits.author_bytes_max {
        return Err(Failure::usage(format!("an author has at most {} bytes", limits.author_bytes_max)));
    }
    let mut store = SqliteStore::open(&args.data, Options::default()).map_err(|e| Failure::store(&args.data, e))?;
    let mut reader = store.reader().map_err(Failure::data)?;
    let (found, mut walk) = read(&mut reader, document)?;
    let conflict = &pick(&found, document, resolve.id)?.conflict;
    let chosen = match &resolve.answer {
        Chosen { pick: Some(number), .. } => {
            let side = conflict.candidates.get(*number);
            let side = side.ok_or_else(|| Failure::usage(format!("the conflict has no side {number}")))?;
            Answer::Pick(side.change)
        }
        Chosen { value: Some(value), .. } => Answer::Value(Some(conflicts::from_json(value))),
        Chosen { keep_both: true, .. } => Answer::Both,
        _ => Answer::Value(None),
    };
    let mut seen = Seen::from(conflict);
    if let Some(version) = resolve.version.filter(|version| *version != seen.version) {
        seen = Seen { version, candidates: Vec::new(), ..seen };
    }
    let plan = settlement::plan(conflict, &seen, &chosen, resolve.note.clone(), &found.conflicts);
    let plan = plan.map_err(|e| at(e.to_string()))?;
    let actor = actor(reader.store_id(), &resolve.author);
    let changes = write(&found, &walk, plan, &actor, &resolve.author).map_err(at)?;
    for change in &changes {
        Change::parse(change.bytes(), &limits).map_err(|e| at(e.to_string()))?;
    }
    let append = transfer::pack_up(document, &mut walk, &changes).map_err(at)?;
    transfer::commit(&mut store, append)?;
    println!("{document}: settled {} by change {}", resolve.id, changes[changes.len() - 1].hash());
    Ok(())
}

fn read(reader: &mut SqliteReader, document: &DocumentName) -> Result<(Found, Walk), Failure> {
    let at = |e: String| Failure::data(format!("{document}: {e}"));
    let mut changes = Vec::new();
    let walked = walk::read(reader, document, true, |_, pack| changes.extend(pack)).map_err(|e| at(e.to_string()))?;
    let (_, walk) = walked.ok_or_else(|| at("no such document".into()))?;
    let found = conflicts::find(document, changes, &walk).map_err(at)?;
    Ok((found, walk))
}

fn pick<'a>(found: &'a Found, document: &DocumentName, id: ConflictId) -> Result<&'a Listed, Failure> {
    let listed = found.listed.iter().find(|listed| listed.conflict.id == id);
    listed.ok_or_else(|| Failure::data(format!("{document}: the document has no conflict {id}")))
}

/// Who answers on this server for an author: the same each time, so that actors don't grow with answers, and another in another store.
fn actor(store: StoreId, author: &str) -> ActorId {
    let digest = Sha256::new().chain_update("rejoin answers").chain_update(store.0).chain_update(author).finalize();
    ActorId::from(&digest[..16])
}

/// The changes that answer: the fixed one that makes the map of answers, if there is none, and the answer.
fn write(found: &Found, walk: &Walk, plan: Plan, actor: &ActorId, author: &str) -> Result<Vec<Change>, String> {
    let write = || {
        let init = init_change(settlement::ROOT_KEY, InitValue::Map).map_err(|e| e.to_string())?;
        let mut changes = Vec::new();
        let author = Author::from(author.as_bytes().to_vec());
        let mut document = found.document.automerge().clone().with_author(Some(author));
        if !walk.log().table().contains(&init.hash()) {
            document.apply_changes([init.clone().into_automerge()]).map_err(|e| e.to_string())?;
            changes.push(init);
        }
        document.set_actor(actor.clone());
        let time = |_: &()| CommitOptions::default().with_time(Clock::wall().0);
        document.transact_with(time, |tx| plan.write(tx)).map_err(|failure| failure.error.to_string())?;
        let change = document.get_last_local_change().ok_or("nothing was written")?;
        changes.push(Change::from_automerge(change).map_err(|e| e.to_string())?);
        Ok(changes)
    };
    catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|_| Err("writing the answer panics".into()))
}
