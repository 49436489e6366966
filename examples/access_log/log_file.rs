//! The input: read in chunks from any offset, and recognised again by later runs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use everpost_examples::Problem;
use serde::{Deserialize, Serialize};

/// How much is read at a time; the lines that end within it are one chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Longer lines are malformed. It bounds memory: ten paths of this size must fit the state of the summary.
pub(crate) const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much of a line that is too long is kept, to show it.
const SHOWN_BYTES: usize = 1024;
/// How much at the beginning, and before the position, tells files apart.
const FINGERPRINT_BYTES: u64 = 4096;

/// The file as it was when the program started: what is appended later belongs to the next run.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    /// For the progress bar only.
    read: AtomicU64,
    /// Whether it is known to be the file that the stored position belongs to.
    recognised: AtomicBool,
}

/// How far a file was read, and enough of it to know it again. Part of the ingest actor's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    /// The last line had no newline at its end.
    open_line: bool,
    head: Option<Fingerprint>,
    tail: Option<Fingerprint>,
}

/// A hash of some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    start: u64,
    bytes: u64,
    hash: [u8; 32],
}

/// Some whole lines, and the position after them.
#[derive(Debug)]
pub(crate) struct Chunk {
    text: Vec<u8>,
    /// The text is the beginning of a line that is too long.
    pub(crate) too_long: bool,
    pub(crate) next: Position,
}

impl Chunk {
    /// The lines, without their newlines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let line = |line| <[u8]>::strip_suffix(line, b"\n").unwrap_or(line);
        self.text.split_inclusive(|byte| *byte == b'\n').map(line)
    }
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let failed = |error: io::Error| Problem::usage(format!("{} cannot be read: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Problem::usage(format!("{} is not a regular file", path.display())));
        }
        let (read, recognised) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { path: path.to_path_buf(), file, length: metadata.len(), read, recognised })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How much was read so far, by this run or those before it.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Whether [`LogFile::recognise`] has said yes.
    pub(crate) fn is_recognised(&self) -> bool {
        self.recognised.load(Ordering::Acquire)
    }

    /// Makes sure that this is the file that was read up to `position`, as far as its beginning, its length and the
    /// bytes before the position can tell.
    pub(crate) fn recognise(&self, position: &Position) -> Result<(), Problem> {
        let other = |what: String| {
            let path = self.path.display();
            Problem::usage(format!(
                "{path} {what}; to count it from its beginning, start with an empty data folder, on each node if there \
                 are several"
            ))
        };
        if self.length < position.offset {
            let (offset, length) = (position.offset, self.length);
            return Err(other(format!("was read up to byte {offset} before and has {length} bytes now")));
        }
        let unreadable = |error| Problem::usage(format!("{} cannot be read: {error}", self.path.display()));
        for fingerprint in [&position.head, &position.tail].into_iter().flatten() {
            let found = self.fingerprint(fingerprint.start, fingerprint.bytes).map_err(unreadable)?;
            if found != *fingerprint {
                return Err(other("is not the file that was counted so far".to_owned()));
            }
        }
        if position.open_line && self.length > position.offset && self.newline(position).map_err(unreadable)? == 0 {
            return Err(other("has grown within its last line, which was counted when it had no end yet".to_owned()));
        }
        self.read.store(position.offset, Ordering::Relaxed);
        self.recognised.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads the lines after `position`: as many as fit a chunk, at least one unless the file ends there.
    pub(crate) fn chunk(&self, position: &Position) -> io::Result<Chunk> {
        let start = position.offset + self.newline(position)?;
        let mut text = self.bytes(start, CHUNK_BYTES as u64)?;
        let complete = loop {
            let at_end = start + text.len() as u64 == self.length;
            match text.iter().rposition(|byte| *byte == b'\n') {
                _ if at_end => break text.len(),
                Some(newline) => break newline + 1,
                None if text.len() > LINE_BYTES_MAX => return self.too_long(position, start, &text),
                None => text.extend(self.bytes(start + text.len() as u64, text.len() as u64)?),
            }
        };
        text.truncate(complete);
        let open_line = text.last().is_some_and(|byte| *byte != b'\n');
        let next = self.position_after(position, start + complete as u64, open_line)?;
        Ok(Chunk { text, too_long: false, next })
    }

    /// Skips a line without keeping it.
    fn too_long(&self, position: &Position, start: u64, text: &[u8]) -> io::Result<Chunk> {
        let mut end = start + text.len() as u64;
        let newline = loop {
            let piece = self.bytes(end, CHUNK_BYTES as u64)?;
            match piece.iter().position(|byte| *byte == b'\n') {
                Some(newline) => break end + newline as u64 + 1,
                None if piece.is_empty() => break end,
                None => end += piece.len() as u64,
            }
        };
        let open_line = newline == end && end == self.length;
        let text = text[..SHOWN_BYTES].to_vec();
        Ok(Chunk { text, too_long: true, next: self.position_after(position, newline, open_line)? })
    }

    fn position_after(&self, before: &Position, offset: u64, open_line: bool) -> io::Result<Position> {
        let head = match &before.head {
            Some(head) => head.clone(),
            None => self.fingerprint(0, offset.min(FINGERPRINT_BYTES))?,
        };
        let bytes = offset.min(FINGERPRINT_BYTES);
        let tail = self.fingerprint(offset - bytes, bytes)?;
        self.read.store(offset, Ordering::Relaxed);
        Ok(Position { offset, open_line, head: Some(head), tail: Some(tail) })
    }

    /// How many bytes of a newline follow a line that had none when it was counted.
    fn newline(&self, position: &Position) -> io::Result<u64> {
        if !position.open_line {
            return Ok(0);
        }
        let next = self.bytes(position.offset, 2)?;
        Ok(if next.starts_with(b"\n") {
            1
        } else if next == b"\r\n" {
            2
        } else {
            0
        })
    }

    fn fingerprint(&self, start: u64, bytes: u64) -> io::Result<Fingerprint> {
        let hash = blake3::hash(&self.bytes(start, bytes)?).into();
        Ok(Fingerprint { start, bytes, hash })
    }

    /// At most `bytes` bytes from `start`: fewer only where the file ends.
    fn bytes(&self, start: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let bytes = bytes.min(self.length.saturating_sub(start));
        let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut buffer, start)?;
        Ok(buffer)
    }
}
