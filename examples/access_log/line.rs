//! One line of the Combined Log Format, read the way awk reads it: fields are split by runs of spaces and tabs.
//!
//! ```text
//! visitor ident user [day/Mon/year:hh:mm:ss zone] "METHOD path PROTOCOL" status bytes "referer" "agent"
//! $1      $2    $3   $4                     $5     $6     $7   $8        $9     $10   $11       $12..
//! ```
//!
//! A line counts if it has this shape and awk's fields 1, 7 and 10 are its visitor, path and bytes. Everything else is
//! malformed, in particular: an empty line; a request that is not three words (`"-"`, a path with a space in it, a
//! request without a protocol), since awk's fields are others then; a user name with a space, for the same reason; a
//! NUL byte, which is what a crash of the server leaves in a file; anything but spaces after the agent.
//!
//! Allowed: a carriage return at the end; `\"` within quotes; any bytes above 127, valid UTF-8 or not; an agent whose
//! closing quote is missing, since servers cut long lines off there.

/// What counts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) visitor: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) bytes: u64,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The largest number that awk, and readers of JSON, keep exactly.
const BYTES_MAX: u64 = 1 << 53;

/// Reads a line without its newline.
pub(crate) fn parse(line: &[u8]) -> Result<Request<'_>, Malformed> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&0) {
        return Err(Malformed("it holds a NUL byte"));
    }
    let mut fields = Fields(line);
    let visitor = fields.next().ok_or(Malformed("it is empty"))?;
    let (_ident, _user) = (fields.next(), fields.next());
    let (time, zone) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    if !fits(time, b"[00/Aaa/0000:00:00:00") || !(fits(zone, b"+0000]") || fits(zone, b"-0000]")) {
        return Err(Malformed("fields 4 and 5 are not a time like [17/May/2015:10:05:03 +0000]"));
    }
    let request = [(); 3].map(|()| fields.next().unwrap_or_default());
    let path = path(request).ok_or(Malformed("the request is not three words in quotes"))?;
    if !fields.next().is_some_and(|status| fits(status, b"000")) {
        return Err(Malformed("the status is not three digits"));
    }
    let bytes = fields.next().and_then(bytes).ok_or(Malformed("the size is neither a number nor `-`"))?;
    check_referer_and_agent(fields.0)?;
    Ok(Request { visitor, path, bytes })
}

/// The fields of a line; what is left of it.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = trim_start(self.0);
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        self.0 = rest;
        (!field.is_empty()).then_some(field)
    }
}

/// The path of `"METHOD path PROTOCOL"`; the only bare quotes are the outer ones.
fn path(words: [&[u8]; 3]) -> Option<&[u8]> {
    let [method, path, protocol] = words;
    let method = method.strip_prefix(b"\"").filter(|method| !method.is_empty())?;
    let whole = quote(method).is_none() && quote(path).is_none() && protocol.len() > 1;
    (whole && quote(protocol) == Some(protocol.len() - 1)).then_some(path)
}

fn bytes(field: &[u8]) -> Option<u64> {
    if field == b"-" {
        return Some(0);
    }
    if !field.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(field).ok()?.parse().ok().filter(|bytes| *bytes <= BYTES_MAX)
}

fn check_referer_and_agent(rest: &[u8]) -> Result<(), Malformed> {
    let referer = trim_start(rest).strip_prefix(b"\"").ok_or(Malformed("there is no referer in quotes"))?;
    let end = quote(referer).ok_or(Malformed("the referer does not end"))?;
    let agent = &referer[end + 1..];
    let agent = agent.first().filter(|byte| is_blank(byte)).and_then(|_| trim_start(agent).strip_prefix(b"\""));
    let agent = agent.ok_or(Malformed("there is no agent in quotes"))?;
    match quote(agent) {
        Some(end) if !trim_start(&agent[end + 1..]).is_empty() => Err(Malformed("something follows the agent")),
        Some(_) | None => Ok(()),
    }
}

/// Where the first quote is that no backslash escapes.
fn quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let found = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        found
    })
}

/// Whether `field` looks like `pattern`, where `0` stands for a digit, `A` and `a` for a letter.
fn fits(field: &[u8], pattern: &[u8]) -> bool {
    let matches = |(byte, like): (&u8, &u8)| match like {
        b'0' => byte.is_ascii_digit(),
        b'A' | b'a' => byte.is_ascii_alphabetic(),
        _ => byte == like,
    };
    field.len() == pattern.len() && field.iter().zip(pattern).all(matches)
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    &text[start..]
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
