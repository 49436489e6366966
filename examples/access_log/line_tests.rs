//! What parses and what does not. Each accepted line is also split the way awk does it, and must agree.

use super::line::{Malformed, Request, parse};

const USUAL: &str =
    r#"1.2.3.4 - bob [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 512 "http://x/" "Mozilla/5.0 (X11)""#;

/// Parses a line that must be accepted, and compares with awk's fields.
#[track_caller]
fn accepted(line: impl AsRef<[u8]>) -> (String, String, u64) {
    let line = line.as_ref();
    let Request { visitor, path, bytes } = parse(line).unwrap();
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let fields: Vec<_> = line.split(blank).filter(|field| !field.is_empty()).collect();
    assert_eq!((visitor, path), (fields[0], fields[6]));
    let tenth = String::from_utf8_lossy(fields[9]);
    assert_eq!(bytes, if tenth == "-" { 0 } else { tenth.parse().unwrap() });
    (String::from_utf8_lossy(visitor).into_owned(), String::from_utf8_lossy(path).into_owned(), bytes)
}

#[track_caller]
fn rejected(line: impl AsRef<[u8]>) -> &'static str {
    let Malformed(reason) = parse(line.as_ref()).unwrap_err();
    reason
}

#[test]
fn a_usual_line() {
    assert_eq!(accepted(USUAL), ("1.2.3.4".into(), "/a.png".into(), 512));
}

#[test]
fn what_servers_really_write() {
    accepted(format!("{USUAL}\r"));
    accepted(format!("{USUAL}  "));
    accepted(format!("  {USUAL}"));
    accepted(USUAL.replace("1.2.3.4", "2001:db8::1"));
    accepted(USUAL.replace("1.2.3.4", "crawler.example.org"));
    accepted(USUAL.replace("GET", "PROPFIND"));
    accepted(USUAL.replace("HTTP/1.1", "HTTP/2.0"));
    accepted(USUAL.replace(" +0000]", "\t-0130]"));
    accepted(USUAL.replace("/a.png", r#"/a\"b\".png"#));
    accepted(USUAL.replace("http://x/", r#"http://x/\"quoted\" \\"#));
    accepted(USUAL.replace("(X11)", r#"\"\xe2\x80\" (X11)"#));
    assert_eq!(accepted(USUAL.replace("512", "-")).2, 0);
    assert_eq!(accepted(USUAL.replace("512", "0")).2, 0);
}

#[test]
fn an_agent_that_was_cut_off() {
    accepted(&USUAL[..USUAL.len() - 1]);
    accepted(&USUAL[..USUAL.len() - 5]);
}

#[test]
fn bytes_that_are_no_text() {
    let at = USUAL.find("a.png").unwrap();
    let mut line = USUAL.as_bytes().to_vec();
    line[at] = 0xff;
    assert_eq!(parse(&line).unwrap().path, b"/\xff.png");
    line[at] = 0;
    assert_eq!(rejected(&line), "it holds a NUL byte");
}

#[test]
fn a_very_long_path() {
    let path = format!("/{}", "x".repeat(1 << 20));
    assert_eq!(accepted(USUAL.replace("/a.png", &path)).1, path);
}

#[test]
fn requests_whose_fields_awk_sees_elsewhere() {
    for request in
        ["-", "", "GET /a.png", "GET /a b.png HTTP/1.1", r"\x16\x03\x01", "GET  HTTP/1.1", r#"GET /a"b HTTP/1.1"#]
    {
        let line = USUAL.replace("GET /a.png HTTP/1.1", request);
        assert_eq!(rejected(&line), "the request is not three words in quotes", "{line}");
    }
}

#[test]
fn everything_else_is_rejected() {
    for line in ["", "\r", " ", "hello", "1.2.3.4", r#"""#, r"\", "\u{feff}"] {
        rejected(line);
    }
    rejected(USUAL.replace("bob", "bob smith"));
    rejected(USUAL.replace("[17/May", "17/May"));
    rejected(USUAL.replace("May", "05"));
    rejected(USUAL.replace("+0000", "0000"));
    rejected(USUAL.replace("200", "20"));
    rejected(USUAL.replace("512", "+512"));
    rejected(USUAL.replace("512", "5x2"));
    rejected(USUAL.replace("512", "99999999999999999999999"));
    rejected(USUAL.replace(r#" "http://x/""#, ""));
    rejected(format!("{USUAL}{USUAL}"));
    rejected(format!("{USUAL} 17"));
}

#[test]
fn no_beginning_of_a_line_panics() {
    for end in 0..USUAL.len() {
        let _ = parse(&USUAL.as_bytes()[..end]);
        let _ = parse(&USUAL.as_bytes()[end..]);
    }
    let shortest = (0..USUAL.len()).find(|end| parse(&USUAL.as_bytes()[..*end]).is_ok()).unwrap();
    assert!(USUAL[..shortest].ends_with(r#" ""#), "a line counts from the first quote of the agent on");
}
