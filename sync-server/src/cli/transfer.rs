//! `export` and `import`: a document as JSON or automerge's saved form, or a whole store.
//!
//! A whole store comes back under a new identity, so that clients notice and bring what it lacks. Everything imported passes the
//! same checks as what clients push.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sync_core::change::Change;
use sync_core::id::{DocumentName, Incarnation, LogSeq};
use sync_core::pack;
use sync_core::storage::{Append, DocumentRecord, Store, StoredPack};

use super::Failure;
use crate::archive::{Item, Items, MAGIC};
use crate::materialise;
use crate::store::{Held, Options, ReadStore as _, SqliteReader, SqliteStore};
use crate::walk::{self, Walk};

/// Changes packed together when a document is imported.
const PACK_CHANGES: usize = 1_000;

/// Bytes of packs read at a time when a store is exported.
const READ_BYTES: usize = 4 << 20;

/// How a document is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// automerge's saved document
    Automerge,
    /// Its value
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The data folder
    #[arg(long, default_value = "./rejoin-data", env = "REJOIN_DATA")]
    data: PathBuf,
    /// The document; the whole store if absent
    #[arg(long)]
    document: Option<DocumentName>,
    /// How a document is written
    #[arg(long, value_enum, default_value = "automerge")]
    format: Format,
    /// The file to write; it must not exist
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The data folder; no server may be running on it
    #[arg(long, default_value = "./rejoin-data", env = "REJOIN_DATA")]
    data: PathBuf,
    /// The document that an automerge file is read into; without it the file is an exported store
    #[arg(long)]
    document: Option<DocumentName>,
    /// The file to read
    file: PathBuf,
}

pub(super) fn export(args: &Export) -> Result<(), Failure> {
    let mut store = SqliteReader::open(&args.data).map_err(|e| Failure::store(&args.data, e))?;
    let file = File::create_new(&args.out).map_err(|e| Failure::usage(format!("{}: {e}", args.out.display())))?;
    let mut out = BufWriter::new(file);
    let said = match &args.document {
        Some(document) => export_document(&mut store, document, args.format, &mut out),
        None => export_store(&mut store, &mut out),
    };
    let finished = said.and_then(|said| {
        let file = out.into_inner().map_err(|e| Failure::data(e.error()))?;
        file.sync_all().map_err(Failure::data)?;
        Ok(said)
    });
    match finished {
        Ok(said) => {
            println!("{said}, to {}", args.out.display());
            Ok(())
        }
        Err(failure) => {
            // Half a file is none.
            let _ = fs::remove_file(&args.out);
            Err(failure)
        }
    }
}

fn export_document(
    store: &mut SqliteReader,
    document: &DocumentName,
    format: Format,
    out: &mut BufWriter<File>,
) -> Result<String, Failure> {
    let mut changes = Vec::new();
    let found = walk::read(store, document, false, |_, pack| {
        changes.extend(pack.into_iter().map(Change::into_automerge));
    });
    let (record, _) = found
        .map_err(|e| Failure::data(format!("{document}: {e}")))?
        .ok_or_else(|| Failure::data(format!("{document}: no such document")))?;
    let give: materialise::Give = match format {
        Format::Automerge => materialise::as_automerge,
        Format::Json => materialise::as_json,
    };
    let bytes = materialise::apply(changes, give).map_err(|e| Failure::data(format!("{document}: {e}")))?;
    out.write_all(&bytes).map_err(Failure::data)?;
    Ok(format!("{document} with {} changes", record.head))
}

fn export_store(store: &mut SqliteReader, out: &mut BufWriter<File>) -> Result<String, Failure> {
    out.write_all(MAGIC).map_err(Failure::data)?;
    let (mut documents, mut packs) = (0, 0);
    for name in store.names().map_err(Failure::data)? {
        let document = DocumentName::parse(&name).map_err(|e| Failure::data(format!("{name:?}: {e}")))?;
        if let Some(more) = export_log(store, &document, READ_BYTES, out)? {
            documents += 1;
            packs += more;
        }
    }
    Item::End { documents, packs }.write(out).map_err(Failure::data)?;
    Ok(format!("{documents} documents, {packs} packs"))
}

/// Writes a document and its packs as they stand at one moment. How many they are; `None` if there is no such document.
fn export_log(
    store: &mut SqliteReader,
    document: &DocumentName,
    read_bytes: usize,
    out: &mut impl Write,
) -> Result<Option<u64>, Failure> {
    // What a running server appends, compacts or deletes meanwhile would not follow on what was read before.
    let mut store = Held::new(store).map_err(Failure::data)?;
    let at = |e| Failure::data(format!("{document}: {e}"));
    let mut loaded = store.load(document, LogSeq(0), read_bytes).map_err(at)?;
    let Some(record) = loaded.record.take() else { return Ok(None) };
    let head = record.head;
    Item::Document(document.clone(), record).write(out).map_err(Failure::data)?;
    let (mut last, mut packs) = (LogSeq(0), 0);
    loop {
        for pack in loaded.packs.drain(..) {
            last = pack.last();
            packs += 1;
            Item::Pack(pack).write(out).map_err(Failure::data)?;
        }
        if last >= head {
            return Ok(Some(packs));
        }
        // Longer than one read. A store whose packs end before the head says so itself.
        loaded = store.load(document, last, read_bytes).map_err(at)?;
    }
}

pub(super) fn import(args: &Import) -> Result<(), Failure> {
    let unread = |e| Failure::usage(format!("{}: {e}", args.file.display()));
    let open = || SqliteStore::open(&args.data, Options::default()).map_err(|e| Failure::store(&args.data, e));
    let mut file = File::open(&args.file).map_err(unread)?;
    let said = match &args.document {
        Some(document) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(unread)?;
            import_document(&mut open()?, document, &bytes)?
        }
        None => {
            let mut begins = Vec::new();
            (&mut file).take(MAGIC.len() as u64).read_to_end(&mut begins).map_err(unread)?;
            if begins != MAGIC {
                let message =
                    format!("{} is no exported store; for an automerge file say --document", args.file.display());
                return Err(Failure::usage(message));
            }
            import_store(&mut open()?, &args.data, file)?
        }
    };
    println!("{said}, into {}", args.data.display());
    Ok(())
}

fn import_document(store: &mut SqliteStore, document: &DocumentName, bytes: &[u8]) -> Result<String, Failure> {
    let at = |e: String| Failure::data(format!("{document}: {e}"));
    let loaded = automerge::Automerge::load(bytes).map_err(|e| at(e.to_string()))?;
    let mut reader = store.reader().map_err(Failure::data)?;
    let found = walk::read(&mut reader, document, true, |_, _| {}).map_err(|e| at(e.to_string()))?;
    let mut walk = match found {
        Some((_, walk)) => walk,
        None => Walk::new(fresh_incarnation()?, true),
    };
    let mut fresh = Vec::new();
    for change in loaded.get_changes(&[]) {
        let change = Change::from_automerge(change).map_err(|e| at(e.to_string()))?;
        if !walk.log().table().contains(&change.hash()) {
            fresh.push(change);
        }
    }
    let count = fresh.len();
    for changes in fresh.chunks(PACK_CHANGES) {
        let append = pack_up(document, &mut walk, changes).map_err(at)?;
        commit(store, append)?;
    }
    Ok(format!("{document}: {count} changes"))
}

/// Validates changes, adds them to the log, and packs them relative to the log before.
pub(super) fn pack_up(document: &DocumentName, walk: &mut Walk, changes: &[Change]) -> Result<Append, String> {
    let (first, digest_before) = (walk.log().head().plus(1), walk.log().digest());
    let base = walk.log().table().actor_count();
    let bytes = pack::encode(changes, base, walk.log().table()).map_err(|e| e.to_string())?;
    for change in changes {
        walk.append(change).map_err(|e| e.to_string())?;
    }
    let pack = StoredPack { first, count: changes.len() as u32, digest: walk.log().digest(), bytes, outside: None };
    Ok(Append { document: document.clone(), incarnation: walk.log().incarnation(), digest_before, pack })
}

pub(super) fn commit(store: &mut SqliteStore, append: Append) -> Result<(), Failure> {
    let mut results = store.commit(&[append]).map_err(Failure::data)?;
    results.remove(0).map(|_| ()).map_err(Failure::data)
}

fn fresh_incarnation() -> Result<Incarnation, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(Failure::data)?;
    Ok(Incarnation(bytes))
}

fn import_store(store: &mut SqliteStore, data: &Path, file: impl Read) -> Result<String, Failure> {
    let held = store.reader().and_then(|mut r| r.names()).map_err(Failure::data)?;
    if !held.is_empty() {
        return Err(Failure::usage(format!("{} holds documents already: name a new folder", data.display())));
    }
    // What is there of it may look whole, and be what clients take for all that there is.
    store.begin_restore().map_err(Failure::data)?;
    restore(store, file).map_err(|Failure { code, message }| Failure {
        code,
        message: format!("{message}; {} is unfinished: remove it", data.display()),
    })
}

/// Checks what a file holds as `verify` does, and writes it, one pack after the other.
fn restore(store: &mut SqliteStore, file: impl Read) -> Result<String, Failure> {
    let cut_off = || Failure::data("the file is cut off: it has no end");
    let mut items = Items::new(file);
    let mut next = || match items.next() {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(cut_off()),
        other => other.map_err(Failure::data),
    };
    let (mut documents, mut packs) = (0u64, 0u64);
    let mut current: Option<Restoring> = None;
    let counted = loop {
        match next()?.ok_or_else(cut_off)? {
            Item::Document(name, record) => {
                current.take().map_or(Ok(()), Restoring::end)?;
                current = Some(Restoring::begin(store, name, record)?);
                documents += 1;
            }
            Item::Pack(pack) => {
                current.as_mut().ok_or_else(|| Failure::data("a pack belongs to no document"))?.append(store, pack)?;
                packs += 1;
            }
            Item::End { documents, packs } => break (documents, packs),
        }
    };
    current.take().map_or(Ok(()), Restoring::end)?;
    if counted != (documents, packs) || next()?.is_some() {
        return Err(Failure::data("the file does not hold what its end says"));
    }
    let id = store.finish_restore().map_err(Failure::data)?;
    Ok(format!("{documents} documents, {packs} packs, as the new store {id}"))
}

/// A document being restored.
struct Restoring {
    name: DocumentName,
    record: DocumentRecord,
    /// None if only its tombstones are left.
    walk: Option<Walk>,
}

impl Restoring {
    fn begin(store: &mut SqliteStore, name: DocumentName, record: DocumentRecord) -> Result<Self, Failure> {
        if !record.deleted.is_empty() {
            store.restore_tombstones(&name, &record).map_err(Failure::data)?;
        }
        let walk = record.incarnation.map(|incarnation| Walk::new(incarnation, true));
        Ok(Self { name, record, walk })
    }

    fn append(&mut self, store: &mut SqliteStore, pack: StoredPack) -> Result<(), Failure> {
        let Self { name, walk, .. } = self;
        let walk = walk.as_mut().ok_or_else(|| Failure::data(format!("{name}: it is deleted and has packs")))?;
        let (incarnation, digest_before) = (walk.log().incarnation(), walk.log().digest());
        walk.pack(&pack).map_err(|e| Failure::data(format!("{name}: {e}")))?;
        commit(store, Append { document: name.clone(), incarnation, digest_before, pack })
    }

    fn end(self) -> Result<(), Failure> {
        let Self { name, record, walk } = self;
        let Some(walk) = walk else { return Ok(()) };
        let (found, head) = (walk.log().head(), record.head);
        if (found, walk.log().digest()) == (head, record.digest) {
            return Ok(());
        }
        Err(Failure::data(format!("{name}: its packs end at {found}, not at {head}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::tests::{compact, history, store};

    /// Compacts, and then appends to, the document that is written to it, once its first bytes have come.
    struct Meddler<'a> {
        store: &'a mut SqliteStore,
        document: &'a DocumentName,
        walk: Walk,
        later: &'a [Change],
        bytes: Vec<u8>,
    }

    impl Write for Meddler<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.bytes.extend(bytes);
            for changes in std::mem::take(&mut self.later).chunks(1) {
                let append = pack_up(self.document, &mut self.walk, changes).expect("fits");
                assert!(commit(self.store, append).is_ok());
            }
            compact(self.store, self.document);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What was compacted between two reads was written twice, so that no import took the file, or was never come by, so that the export did
    /// not end.
    #[test]
    fn an_export_has_a_document_as_it_stood_whatever_a_server_does_meanwhile() {
        for later in [0, 5] {
            let (dir, document, changes) =
                (tempfile::tempdir().expect("a folder"), "d".parse().expect("a name"), history(15));
            let (now, later) = changes.split_at(changes.len() - later);
            let (mut store, walk) = store(dir.path(), &document, now);
            let mut reader = store.reader().expect("opens");
            let mut meddler = Meddler { store: &mut store, document: &document, walk, later, bytes: Vec::new() };
            let packs = export_log(&mut reader, &document, 0, &mut meddler).ok().flatten().expect("exports");
            assert_eq!(packs, now.len() as u64);
            let mut bytes = meddler.bytes;
            Item::End { documents: 1, packs }.write(&mut bytes).expect("writes");
            let other = tempfile::tempdir().expect("a folder");
            let mut other = SqliteStore::open(other.path(), Options::default()).expect("opens");
            assert!(restore(&mut other, &bytes[..]).is_ok(), "an import takes it");
            // Nothing is held any more.
            assert_eq!(reader.load(&document, LogSeq(0), 0).expect("loads").record.expect("is there").head.0, 15);
        }
    }
}
