//! What was checked, and how it went.

use std::fmt;

/// Rows for people: each names what was looked at, and a bad one says what to do.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<(Verdict, &'static str, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// It works now, but look at it.
    Warning,
    /// The node will not start, or its peers will refuse it.
    Problem,
}

impl Report {
    pub(super) fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Verdict::Ok, subject, text.into());
    }

    pub(super) fn warning(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Verdict::Warning, subject, text.into());
    }

    pub(super) fn problem(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Verdict::Problem, subject, text.into());
    }

    pub(super) fn problems(&self) -> usize {
        self.count(Verdict::Problem)
    }

    fn add(&mut self, verdict: Verdict, subject: &'static str, text: String) {
        self.0.push((verdict, subject, text.replace('\n', " ")));
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|(of, ..)| *of == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (verdict, subject, text) in &self.0 {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Problem => "problem",
            };
            writeln!(f, "  {verdict:<7}  {subject:<11}  {text}")?;
        }
        let number = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            many => format!("{many} {what}s"),
        };
        let (problems, warnings) = (self.problems(), self.count(Verdict::Warning));
        match (problems, warnings) {
            (0, 0) => writeln!(f, "nothing is wrong"),
            (0, _) => writeln!(f, "nothing is wrong, {}", number(warnings, "warning")),
            _ => writeln!(f, "{}, {}", number(problems, "problem"), number(warnings, "warning")),
        }
    }
}
