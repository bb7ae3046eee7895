//! The spill journal: records that the store did not take, in a file of their own until it does.
//!
//! A frame is the length of what follows (4 bytes, the highest first), the first 8 bytes of its SHA-256, and one record as
//! JSON. Frames are appended, and the file is emptied when all of them are in the store. What the end of the process tore
//! is cut off: nobody was told that it was written. Whatever else is not whole is set aside in a file beside it. A file that
//! was never a journal is refused, and left as it is.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::AuditError;
use super::chain::{ChainHash, Head, Place};
use super::row::Row;
use super::store::Link;

/// Length and checksum.
const HEADER: usize = 12;
/// What the JSON of each record begins with.
const RECORD: &[u8] = b"{\"place\":";
/// Bytes of frames that are read at a time, and go into the store in one transaction; a single frame may be longer.
const AT_ONCE: u64 = 4 << 20;

/// A record that waits for the store, with its place in the chain.
#[derive(Debug, Deserialize)]
pub(crate) struct Spilled {
    pub(crate) place: Place,
    hash: String,
    pub(crate) row: Row,
    /// Where it stands in the journal.
    #[serde(skip)]
    pub(crate) frame: Range<u64>,
}

#[derive(Serialize)]
struct Spilling<'r> {
    place: Place,
    hash: String,
    row: &'r Row,
}

impl Spilled {
    pub(crate) fn head(&self) -> Result<Head, AuditError> {
        let hash = self.hash.parse::<ChainHash>();
        let hash = hash.map_err(|error| AuditError::Encoding(format!("a hash in the spill journal: {error}")))?;
        Ok(Head { seq: self.place.seq(), hash })
    }
}

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole frames.
    length: u64,
    /// Bytes that are in the store already.
    drained: u64,
    /// Bytes that may wait.
    most: u64,
    flush: bool,
    last: Option<Head>,
}

impl Journal {
    /// Opens it, or makes it for its owner alone. `most` bounds the bytes that wait; `flush` asks for the device before
    /// an acknowledgement.
    pub(crate) fn open(path: &Path, most: u64, flush: bool) -> Result<Self, AuditError> {
        let failed = |error: std::io::Error| AuditError::Spill(format!("{} cannot be opened: {error}", path.display()));
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        // Two gateways would write into each other's frames.
        file.try_lock().map_err(|_| {
            AuditError::Spill(format!(
                "{} is another gateway's; name another one in `audit.spill.file`",
                path.display()
            ))
        })?;
        let mut journal = Self { path: path.to_owned(), file, length: 0, drained: 0, most, flush, last: None };
        journal.find_end()?;
        Ok(journal)
    }

    /// Refuses a file that is no journal. Changes nothing, and takes no lock.
    pub(crate) fn look(path: &Path) -> Result<(), AuditError> {
        let failed = |error: std::io::Error| AuditError::Spill(format!("{} cannot be read: {error}", path.display()));
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(failed)?,
        };
        let mut begins = Vec::new();
        file.take((HEADER + RECORD.len()) as u64).read_to_end(&mut begins).map_err(failed)?;
        if begins.is_empty() || is_of_a_journal(&begins) { Ok(()) } else { Err(is_no_journal(path)) }
    }

    /// Finds the last whole frame. What stands behind it is cut off; a copy stays, unless it is a torn frame. Refuses what
    /// is no journal.
    fn find_end(&mut self) -> Result<(), AuditError> {
        let size = self.file.metadata().map_err(|error| self.failed("read", error))?.len();
        while let Some(spilled) = self.frame_at(self.length)? {
            self.last = Some(spilled.head()?);
            self.length = spilled.frame.end;
        }
        if size == self.length {
            return Ok(());
        }
        let mut rest = Vec::new();
        let read = self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.read_to_end(&mut rest));
        read.map_err(|error| self.failed("read", error))?;
        if self.length == 0 && !is_of_a_journal(&rest) {
            return Err(is_no_journal(&self.path));
        }
        let cut_off = || self.file.set_len(self.length);
        if is_torn(&rest) {
            tracing::info!(file = %self.path.display(), bytes = rest.len(), "a torn frame of the spill journal was cut off");
            return cut_off().map_err(|error| self.failed("repaired", error));
        }
        let path = self.damaged_path();
        let copied = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let kept = copied.and_then(|mut copy| copy.write_all(&rest)).and_then(|()| cut_off());
        kept.map_err(|error| self.failed("repaired", error))?;
        metrics::counter!("octroi_audit_spill_damaged_bytes_total").increment(size - self.length);
        tracing::error!(
            file = %self.path.display(), bytes = size - self.length, copy = %path.display(),
            "the spill journal ends in a frame that is not whole; the frames before it stand, the rest was set aside"
        );
        Ok(())
    }

    /// Whether everything is in the store.
    pub(crate) fn is_empty(&self) -> bool {
        self.drained == self.length
    }

    /// Where the chain ends with the records that wait.
    pub(crate) fn head(&self) -> Option<Head> {
        self.last.filter(|_| !self.is_empty())
    }

    /// Writes all records, or none.
    pub(crate) fn append(&mut self, links: &[Link<'_>]) -> Result<(), AuditError> {
        let mut bytes = Vec::new();
        for Link { place, hash, row } in links {
            let spilling = Spilling { place: *place, hash: hash.to_string(), row };
            let payload = serde_json::to_vec(&spilling).map_err(|error| AuditError::Encoding(error.to_string()))?;
            let length = u32::try_from(payload.len())
                .map_err(|_| AuditError::Encoding(format!("the record of {} is too long", row.id)))?;
            bytes.extend(length.to_be_bytes());
            bytes.extend(checksum(&payload));
            bytes.extend(payload);
        }
        let added = bytes.len() as u64;
        // What is in the store goes with the rest of the file: meanwhile it takes twice as much on disk at most.
        let is_full = self.length - self.drained + added > self.most || self.length + added > self.most * 2;
        if is_full {
            return Err(AuditError::Spill(format!(
                "{} is full ({} bytes, audit.spill.size)",
                self.path.display(),
                self.most
            )));
        }
        let written = self.file.write_all_at(&bytes, self.length);
        let written = written.and_then(|()| if self.flush { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // A part of it may be there. Should this fail too, the next frames are written over it.
            let _ = self.file.set_len(self.length);
            return Err(self.failed("written", error));
        }
        self.length += bytes.len() as u64;
        if let Some(Link { place, hash, .. }) = links.last() {
            self.last = Some(Head { seq: place.seq(), hash: *hash });
        }
        metrics::gauge!("octroi_audit_spill_bytes").set((self.length - self.drained) as f64);
        Ok(())
    }

    /// Where the records begin that wait.
    pub(crate) fn drained(&self) -> u64 {
        self.drained
    }

    /// The records from there on, at most so many and a bounded number of bytes, and where they end.
    pub(crate) fn next(&self, from: u64, at_most: usize) -> Result<(Vec<Spilled>, u64), AuditError> {
        let (mut records, mut end) = (Vec::new(), from);
        while records.len() < at_most && end < self.length && end - from < AT_ONCE {
            let Some(spilled) = self.frame_at(end)? else {
                return Err(AuditError::Spill(format!("{} changed while it was open", self.path.display())));
            };
            end = spilled.frame.end;
            records.push(spilled);
        }
        Ok((records, end))
    }

    /// Shows all that waits, in its order.
    pub(crate) fn each_waiting(&self, mut see: impl FnMut(&Row)) -> Result<(), AuditError> {
        let mut from = self.drained;
        while from < self.length {
            let (records, end) = self.next(from, usize::MAX)?;
            records.iter().for_each(|spilled| see(&spilled.row));
            from = end;
        }
        Ok(())
    }

    /// What stands before `end` is in the store. Empties the file when that is everything.
    pub(crate) fn drained_to(&mut self, end: u64) -> Result<(), AuditError> {
        self.drained = end;
        if self.is_empty() {
            self.file.set_len(0).map_err(|error| self.failed("emptied", error))?;
            (self.length, self.drained, self.last) = (0, 0, None);
        }
        metrics::gauge!("octroi_audit_spill_bytes").set((self.length - self.drained) as f64);
        Ok(())
    }

    /// Copies a record into the file beside the journal that holds what the store cannot take; returns its name.
    pub(crate) fn set_aside(&self, Spilled { frame, .. }: &Spilled) -> Result<PathBuf, AuditError> {
        let mut bytes = vec![0; usize::try_from(frame.end - frame.start).unwrap_or(0)];
        if !self.read_at(&mut bytes, frame.start)? {
            return Err(AuditError::Spill(format!("{} changed while it was open", self.path.display())));
        }
        let path = self.damaged_path();
        let copy = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let kept = copy.and_then(|mut copy| copy.write_all(&bytes).and_then(|()| copy.sync_all()));
        kept.map(|()| path).map_err(|error| self.failed("set aside in part", error))
    }

    fn damaged_path(&self) -> PathBuf {
        self.path.with_extension(format!("damaged-{}", jiff::Timestamp::now().as_second()))
    }

    /// The whole frame at this offset.
    fn frame_at(&self, offset: u64) -> Result<Option<Spilled>, AuditError> {
        let mut header = [0; HEADER];
        if !self.read_at(&mut header, offset)? {
            return Ok(None);
        }
        let [a, b, c, d, sum @ ..] = header;
        let length = u32::from_be_bytes([a, b, c, d]);
        let end = offset + HEADER as u64 + u64::from(length);
        let size = self.file.metadata().map_err(|error| self.failed("read", error))?.len();
        if end > size {
            return Ok(None);
        }
        let mut payload = vec![0; length as usize];
        if !self.read_at(&mut payload, offset + HEADER as u64)? || checksum(&payload) != sum {
            return Ok(None);
        }
        let spilled = serde_json::from_slice(&payload).ok();
        Ok(spilled.map(|spilled| Spilled { frame: offset..end, ..spilled }))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<bool, AuditError> {
        match self.file.read_exact_at(bytes, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    fn failed(&self, what: &str, error: std::io::Error) -> AuditError {
        AuditError::Spill(format!("{} cannot be {what}: {error}", self.path.display()))
    }
}

fn is_no_journal(path: &Path) -> AuditError {
    AuditError::Spill(format!(
        "{} is no spill journal, or its beginning is damaged, and is left as it is: move it away, or name another file in \
         `audit.spill.file`",
        path.display()
    ))
}

/// Whether a journal holds records that nobody is about to write into a store.
pub(crate) fn is_left_behind(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // A gateway that runs has it locked.
    file.metadata().is_ok_and(|journal| journal.len() > 0) && file.try_lock().is_ok()
}

/// What was set aside from a journal because it was damaged or no store takes it, and may hold texts.
pub fn damaged_copies(journal: &Path) -> std::io::Result<Vec<PathBuf>> {
    let begins = journal.with_extension("damaged-");
    let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut copies = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = journal.with_file_name(file?.file_name());
        if path.as_os_str().as_bytes().starts_with(begins.as_os_str().as_bytes()) {
            copies.push(path);
        }
    }
    Ok(copies)
}

/// Whether a file that begins so may be a journal, though its first frame is not whole: it has the beginning of a record
/// behind a header, or ends before that, or begins with zeros, as what a power cut left of a file that had grown.
fn is_of_a_journal(file: &[u8]) -> bool {
    let payload = file.get(HEADER..).unwrap_or_default();
    // A frame's length begins with a byte that no text begins with.
    let may_be_torn = file.first().is_some_and(|first| *first < b' ') && RECORD.starts_with(payload);
    payload.starts_with(RECORD) || may_be_torn || file.iter().take(HEADER).all(|byte| *byte == 0)
}

/// Whether this is what the end of the process left of a frame: less than its length says, and not the whole record. Behind
/// a whole one, whose length was damaged, acknowledged frames may follow.
fn is_torn(rest: &[u8]) -> bool {
    let Some((header, payload)) = rest.split_first_chunk::<HEADER>() else { return true };
    let [a, b, c, d, ..] = *header;
    let is_short = payload.len() < u32::from_be_bytes([a, b, c, d]) as usize;
    is_short && serde_json::from_slice::<IgnoredAny>(payload).is_err_and(|error| error.is_eof())
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.iter_mut().zip(Sha256::digest(payload)).for_each(|(to, from)| *to = from);
    sum
}
