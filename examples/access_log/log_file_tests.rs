//! Chunks are whole lines, whatever the file looks like; another file is not continued.

use std::path::PathBuf;

use tempfile::TempDir;

use super::log_file::{LINE_BYTES_MAX, LogFile, Position};

struct Log {
    folder: TempDir,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn write(&self, text: &[u8]) -> LogFile {
        std::fs::write(self.path(), text).unwrap();
        LogFile::open(&self.path()).unwrap()
    }
}

/// Reads everything after `position`: the lines, and whether each is too long.
fn read(log: &LogFile, position: &mut Position) -> Vec<(Vec<u8>, bool)> {
    log.recognise(position).unwrap();
    let mut lines = Vec::new();
    while position.offset < log.length() {
        let chunk = log.chunk(position).unwrap();
        assert!(chunk.next.offset > position.offset, "each chunk makes progress");
        lines.extend(chunk.lines().map(|line| (line.to_vec(), chunk.too_long)));
        *position = chunk.next;
    }
    lines
}

fn texts(lines: &[(Vec<u8>, bool)]) -> Vec<&[u8]> {
    lines.iter().map(|(line, _)| &**line).collect()
}

#[test]
fn lines_are_those_of_the_file() {
    for text in ["", "\n", "a", "a\n", "a\nb", "a\n\n", "\r\n", "\n\n\nx\n"] {
        let lines = read(&Log::new().write(text.as_bytes()), &mut Position::default());
        assert_eq!(texts(&lines), records(text), "{text:?}");
    }
}

#[test]
fn lines_may_be_larger_than_a_chunk() {
    let longest = vec![b'x'; LINE_BYTES_MAX];
    let text = [&b"first\n"[..], &vec![b'y'; 200_000], b"\n", &longest, b"\nlast\n"].concat();
    let lines = read(&Log::new().write(&text), &mut Position::default());
    assert_eq!(lines.iter().map(|(line, _)| line.len()).collect::<Vec<_>>(), [5, 200_000, LINE_BYTES_MAX, 4]);
    assert!(lines.iter().all(|(_, too_long)| !too_long));
}

#[test]
fn a_line_that_is_too_long_is_skipped() {
    for end in ["\nlast", "\n", ""] {
        let text = [&b"first\n"[..], &vec![b'x'; 2 * LINE_BYTES_MAX + 77], end.as_bytes()].concat();
        let lines = read(&Log::new().write(&text), &mut Position::default());
        let too_long: Vec<_> = lines.iter().map(|(_, too_long)| *too_long).collect();
        assert_eq!(too_long, if end.len() > 1 { vec![false, true, false] } else { vec![false, true] });
    }
}

#[test]
fn a_file_that_grows_is_continued() {
    let log = Log::new();
    let mut position = Position::default();
    let steps: [(&[u8], &[&[u8]]); 5] = [
        (b"a\nb\n", &[b"a", b"b"]),
        (b"a\nb\nc", &[b"c"]),
        (b"a\nb\nc\n", &[]),
        (b"a\nb\nc\nd", &[b"d"]),
        (b"a\nb\nc\nd\r\ne\n", &[b"e"]),
    ];
    for (text, new) in steps {
        let lines = read(&log.write(text), &mut position);
        assert_eq!(texts(&lines), new);
    }
}

#[test]
fn another_file_is_refused() {
    let log = Log::new();
    let long: Vec<u8> = (0..30_000).flat_map(|line: u32| format!("line {line}\n").into_bytes()).collect();
    let mut position = Position::default();
    read(&log.write(&long), &mut position);
    let refused = |text: &[u8]| log.write(text).recognise(&position).unwrap_err().to_string();
    assert!(refused(&long[..long.len() - 1]).contains("was read up to byte"));
    let other_head = [b"LINE", &long[4..]].concat();
    assert!(refused(&other_head).contains("is not the file"));
    let other_tail = [&long[..long.len() - 7], b"9999999, and more\n"].concat();
    assert!(refused(&other_tail).contains("is not the file"));
    log.write(&[&long[..], b"more\n"].concat()).recognise(&position).unwrap();
}

#[test]
fn a_last_line_that_grows_is_refused() {
    let log = Log::new();
    let mut position = Position::default();
    read(&log.write(b"a\nb"), &mut position);
    let problem = log.write(b"a\nbc\n").recognise(&position).unwrap_err();
    assert_eq!(problem.exit_code, 2);
    assert!(problem.to_string().contains("has grown within its last line"));
}

/// What awk calls records.
fn records(text: &str) -> Vec<&[u8]> {
    let mut records: Vec<_> = text.split('\n').map(str::as_bytes).collect();
    if records.last().is_some_and(|record| record.is_empty()) {
        records.pop();
    }
    records
}
