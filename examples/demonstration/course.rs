//! The course of the demonstration: start, move money, kill, restart, drain, judge.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::judge::judge;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::problem::Problem;
use crate::process::{Launcher, Process};
use crate::protocol::{Books, Command, Report, WINDOW};
use crate::transfer::{Transfer, mix};

/// Runs it all.
pub(crate) fn run(options: &Options, launcher: &Launcher) -> Result<Outcome, Problem> {
    let (mut process, left_over) = launcher.start()?;
    process.drain()?;
    let before = show(&mut process, options.accounts)?;
    let mut course = Course::new(options, launcher, before.teller.last, left_over);
    let started = now();
    let mut process = course.move_money(process)?;
    process.drain()?;
    let took = started.elapsed();
    process.stop()?;
    course.bar.finish_and_clear();
    let after = course.stored()?;
    let Course { first, last, .. } = course;
    let verdict = judge(options.seed, first, last, &before, &after);
    Ok(Outcome {
        sent: course.sent + 1 - first,
        acknowledged: course.acknowledged + 1 - first,
        handled: after.handled() - before.handled(),
        replayed: course.replayed,
        kills: course.kills,
        lost: verdict.lost,
        duplicated: verdict.duplicated,
        balance_before: before.balance(),
        balance_after: after.balance(),
        took,
        breaches: verdict.breaches,
    })
}

/// What the parent knows, which is more than any child does.
struct Course<'a> {
    options: &'a Options,
    launcher: &'a Launcher,
    bar: ProgressBar,
    /// The numbers of the transfers of this run.
    first: u64,
    last: u64,
    /// The highest number that was sent, and that was acknowledged.
    sent: u64,
    acknowledged: u64,
    replayed: u64,
    kills: u32,
}

impl<'a> Course<'a> {
    fn new(options: &'a Options, launcher: &'a Launcher, done: u64, replayed: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {human_pos} of {human_len} transfers acknowledged, {msg}");
        let bar = ProgressBar::new(options.transfers).with_style(style.expect("the template is well formed"));
        bar.set_message("0 kills");
        let (first, last) = (done + 1, done + options.transfers);
        Self { options, launcher, bar, first, last, sent: done, acknowledged: done, replayed, kills: 0 }
    }

    /// Sends every transfer until it is acknowledged, and kills on the way. A transfer whose acknowledgement died with
    /// the child is sent again: the teller knows its number.
    fn move_money(&mut self, process: Process<'a>) -> Result<Process<'a>, Problem> {
        let mut process = process;
        let mut next = self.first;
        while self.acknowledged < self.last || self.kills < self.options.kills {
            if self.kills < self.options.kills && self.acknowledged >= self.kill_point(self.kills) {
                process = self.kill(process)?;
                next = self.acknowledged + 1;
            }
            while next <= self.last && next - self.acknowledged <= WINDOW {
                let transfer = Transfer::new(self.options.seed, next, self.options.accounts);
                process.tell(Command::Transfer { transfer, again: next <= self.sent });
                self.sent = self.sent.max(next);
                next += 1;
            }
            if self.acknowledged < self.last {
                let report = process.report()?;
                self.heard(&report)?;
            }
        }
        Ok(process)
    }

    fn kill(&mut self, process: Process<'a>) -> Result<Process<'a>, Problem> {
        for report in process.kill()? {
            self.heard(&report)?;
        }
        self.kills += 1;
        self.bar.set_message(format!("{} kills", self.kills));
        let (process, replayed) = self.restart()?;
        self.replayed += replayed;
        Ok(process)
    }

    /// A store that was opened before must open again, whatever happened in between.
    fn restart(&self) -> Result<(Process<'a>, u64), Problem> {
        self.launcher.start().map_err(|problem| match problem {
            Problem::Surroundings(reason) => Problem::Child(format!("the node did not start again: {reason}")),
            other => other,
        })
    }

    fn heard(&mut self, report: &Report) -> Result<(), Problem> {
        match report {
            Report::Accepted { number } if (self.acknowledged + 1..=self.sent).contains(number) => {
                self.acknowledged = *number;
                self.bar.set_position(number + 1 - self.first);
                Ok(())
            }
            other => {
                Err(Problem::Child(format!("the child said {other:?} after {} of {}", self.acknowledged, self.sent)))
            }
        }
    }

    /// The number at which the child is killed the next time: spread over the run, each a bit off its place.
    fn kill_point(&self, kill: u32) -> u64 {
        let part = u128::from(self.options.transfers) / 4;
        let place = u128::from(self.options.transfers) * u128::from(kill) + part;
        let random = u128::from(mix(self.options.seed ^ mix(u64::from(kill))));
        let off = (2 * part * random) >> 64;
        let kills = u128::from(self.options.kills);
        self.first - 1 + u64::try_from((place + off) / kills).expect("it is at most the number of transfers")
    }

    /// The books, read by a process that knows nothing but the store.
    fn stored(&mut self) -> Result<Books, Problem> {
        let (mut process, replayed) = self.restart()?;
        self.replayed += replayed;
        let books = show(&mut process, self.options.accounts)?;
        process.stop()?;
        Ok(books)
    }
}

fn show(process: &mut Process<'_>, accounts: u32) -> Result<Books, Problem> {
    process.tell(Command::Show { accounts });
    match process.report()? {
        Report::Books(books) => Ok(books),
        other => Err(Problem::Child(format!("the child was asked for its books and said {other:?}"))),
    }
}

#[expect(clippy::disallowed_methods, reason = "a program that measures itself has no other clock")]
fn now() -> Instant {
    Instant::now()
}
