//! Tells a damaged SQLite write-ahead log from one whose last write was cut short.
//!
//! When SQLite opens a database it takes the log's frames up to the first whose checksum does not fit, and drops the rest without a word. That is
//! right after a power cut, which tears what nobody was told of. After a flipped bit it opens an older state as if nothing had been written
//! since. Owns the difference; repairs nothing, and reads only: call it before SQLite opens the file, while nobody writes.
//!
//! The format is <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

mod frame;
mod sum;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use frame::{Frame, HEADER_BYTES, Header};

/// What the writer of the log promised before it began its next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commits {
    /// `synchronous=FULL`: each commit had reached the disk. What fails below a later commit is damage, however it looks.
    Synced,
    /// Anything less: a power cut may tear commits in any order. Only what one flipped bit explains is damage.
    Unsynced,
}

/// A log that SQLite would cut short though it was written whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The log.
    pub path: PathBuf,
    /// The first damaged frame, counted from 1; 0 is the log's header.
    pub frame: u64,
    /// Frames in the log.
    pub frames: u64,
    /// How it is known.
    pub sign: Sign,
}

/// How damage is told from a write that was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sign {
    /// With one bit flipped back everything fits.
    OneBit,
    /// Its checksum follows on the frame before it, but it is marked as of another log.
    ForeignMark,
    /// A later transaction was begun, so that this one had been written whole.
    LaterCommit,
    /// The header fits nothing, and frames that follow on each other stand behind it.
    Header,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, frame, frames, .. } = self;
        write!(
            f,
            "{} is damaged at frame {frame} of {frames}: opening it would silently drop what was committed there and later",
            path.display()
        )
    }
}

impl std::error::Error for Damage {}

/// The log beside a database.
pub fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Reads the log of a database, if there is one, and says what is damaged. `Ok(None)` is a log that SQLite reads to its end, or whose end was
/// cut short.
pub fn audit(database: &Path, commits: Commits) -> io::Result<Option<Damage>> {
    let path = log_of(database);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = file.metadata()?.len();
    let mut log = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER_BYTES];
    if read(&mut log, &mut header)? < HEADER_BYTES {
        return Ok(None);
    }
    let damage = |page_bytes: usize, found: Option<(u64, Sign)>| {
        let frames = (bytes - HEADER_BYTES as u64) / frame::bytes(page_bytes) as u64;
        found.map(|(frame, sign)| Damage { path: path.clone(), frame, frames, sign })
    };
    match Header::parse(&header) {
        Some(header) => Ok(damage(header.page_bytes, walk(&mut log, &header, commits)?)),
        None => behind_a_bad_header(&mut log, &header)
            .map(|found| found.and_then(|(page, sign)| damage(page, Some((0, sign))))),
    }
}

/// Fills `into` as far as the log reaches.
fn read(log: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match log.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Goes through the frames. The first that does not fit is damaged or the end of what was written: what stands behind it tells.
fn walk(log: &mut impl Read, header: &Header, commits: Commits) -> io::Result<Option<(u64, Sign)>> {
    let mut bytes = vec![0; frame::bytes(header.page_bytes)];
    let mut sum = header.sum;
    let mut number = 0;
    let mut unfit = None;
    // Of the frame before: whether it ends a transaction of this log, and its checksum as it stands there.
    let mut before = None;
    while read(log, &mut bytes)? == bytes.len() {
        number += 1;
        let frame = Frame::new(&bytes, header);
        if unfit.is_none() {
            let computed = frame.sum_after(sum);
            if frame.is_of(header) && computed == frame.sum() {
                sum = computed;
                continue;
            }
            let sign = match frame.is_of(header) {
                false => (computed == frame.sum()).then_some(Sign::ForeignMark),
                true => frame.is_one_bit_off(sum).then_some(Sign::OneBit),
            };
            if let Some(sign) = sign {
                return Ok(Some((number, sign)));
            }
            if commits == Commits::Unsynced {
                return Ok(None);
            }
            unfit = Some(number);
        } else if let Some(before) = before
            && frame.is_of(header)
            && frame.sum_after(before) == frame.sum()
        {
            // Whoever follows on a commit has seen it succeed. What a failed transaction leaves behind is never followed on.
            return Ok(unfit.map(|unfit| (unfit, Sign::LaterCommit)));
        }
        before = (frame.is_of(header) && frame.commits()).then(|| frame.sum());
    }
    Ok(None)
}

/// SQLite takes a log with a bad header for empty. Says for which size of page there is something behind it after all.
fn behind_a_bad_header(log: &mut impl Read, header: &[u8; HEADER_BYTES]) -> io::Result<Option<(usize, Sign)>> {
    let mut bytes = Vec::new();
    log.take(2 * frame::bytes(frame::PAGE_BYTES_MAX) as u64).read_to_end(&mut bytes)?;
    let follows = |header: &Header| {
        let frame = bytes.get(..frame::bytes(header.page_bytes)).map(|bytes| Frame::new(bytes, header));
        frame.is_some_and(|frame| frame.sum_after(header.sum) == frame.sum())
    };
    for bit in 0..8 * HEADER_BYTES {
        let mut mended = *header;
        mended[bit / 8] ^= 1 << (bit % 8);
        if let Some(header) = Header::parse(&mended).filter(follows) {
            return Ok(Some((header.page_bytes, Sign::OneBit)));
        }
    }
    for header in Header::guesses() {
        let frame_bytes = frame::bytes(header.page_bytes);
        let (Some(first), Some(second)) = (bytes.get(..frame_bytes), bytes.get(frame_bytes..2 * frame_bytes)) else {
            continue;
        };
        let (first, second) = (Frame::new(first, &header), Frame::new(second, &header));
        if second.sum_after(first.sum()) == second.sum() {
            return Ok(Some((header.page_bytes, Sign::Header)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
