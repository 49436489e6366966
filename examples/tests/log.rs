//! Access logs made up from a seed, with the figures that they hold.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A log and what is in it, counted while it was made.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) text: Vec<u8>,
    visitors: BTreeMap<String, u64>,
    pages: BTreeMap<String, u64>,
    bytes: u64,
    rejected: u64,
    random: u64,
}

/// Lines that no server means, with their newlines.
const REJECTED: [&[u8]; 6] = [
    b"\n",
    b"hello\n",
    b"\x00\xff\xfe\n",
    b"1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"-\" 408 -  \"-\" \"-\"\n",
    b"1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET /cut\n",
    b"1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 many \"-\" \"-\"\n",
];

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, ..Self::default() }
    }

    /// Adds lines, one in fifty of which does not parse.
    pub(crate) fn grow(&mut self, lines: u32) {
        for _ in 0..lines {
            if self.below(50) == 0 {
                let line = REJECTED[usize::try_from(self.below(6)).unwrap()];
                self.text.extend(line);
                self.rejected += 1;
            } else {
                self.add_request();
            }
        }
    }

    fn add_request(&mut self) {
        let visitor = match self.below(3) {
            0 => format!("2001:db8::{:x}", self.below(300)),
            _ => format!("10.0.{}.{}", self.below(4), self.below(100)),
        };
        // Few pages are popular, and many have equal counts.
        let page = self.below(30) * self.below(30);
        let path = match self.below(10) {
            0 => format!("/search?q=\\\"{page}\\\""),
            1 => format!("/caf\u{e9}/{page}"),
            _ => format!("/page/{page}"),
        };
        let bytes = self.below(1_000_000);
        let size = if bytes.is_multiple_of(7) { "-".to_owned() } else { bytes.to_string() };
        let end = ["\n", "\r\n"][usize::try_from(self.below(2)).unwrap()];
        let line = format!(
            "{visitor} - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 {size} \
             \"http://x/\" \"agent \\\"7\\\"\"{end}"
        );
        self.text.extend(line.as_bytes());
        *self.visitors.entry(visitor).or_default() += 1;
        *self.pages.entry(path).or_default() += 1;
        self.bytes += if size == "-" { 0 } else { bytes };
    }

    /// What the program must say.
    pub(crate) fn figures(&self) -> Value {
        let mut top: Vec<_> = self.pages.iter().collect();
        top.sort_by(|(path, count), (other, than)| than.cmp(count).then(path.cmp(other)));
        top.truncate(10);
        json!({
            "requests": self.visitors.values().sum::<u64>(),
            "visitors": self.visitors.len(),
            "pages": self.pages.len(),
            "bytes": self.bytes,
            "rejected_lines": self.rejected,
            "top_pages": top,
        })
    }

    /// A number from 0 to below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }
}
