//! The total adds up what the pages count, over all logs that are read. Its state does not grow with visitors and
//! pages.
//!
//! Everything about a request comes in one message, the last of its chain: so the figures are whole as soon as as many
//! requests have arrived here as were read, whatever else is still on its way between the nodes.
//!
//! That the ten best pages are enough to know the ten best pages: a page reports each time its count grows, and counts
//! only grow. A page that is not among the ten was behind ten others when it last reported, and they have only grown
//! since.

use std::collections::BTreeMap;

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, QueryHandler, State, Turn};
use serde::{Deserialize, Serialize};

use super::ingest::{Arrived, Ingest};

/// How many pages are kept.
const TOP: usize = 10;
/// How many bytes of lines arrive between two reports to an ingest actor.
const REPORT_BYTES: u64 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Total;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(name = "totals")]
pub(crate) struct Totals {
    pub(crate) visitors: u64,
    pub(crate) pages: u64,
    pub(crate) bytes: u64,
    /// The most requested pages, best first.
    pub(crate) top: Vec<(Vec<u8>, u64)>,
    /// What has come from each ingest actor, by its key.
    sources: BTreeMap<String, Source>,
}

/// What has come from one ingest actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    lines: Lines,
    /// Bytes of its lines, and how many of them it knows of.
    arrived: u64,
    reported: u64,
}

/// Lines of a log, told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines {
    pub(crate) requests: u64,
    pub(crate) rejected: u64,
}

/// From a page, at each request.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "counted")]
pub(crate) struct Counted {
    pub(crate) path: Vec<u8>,
    /// Requests of this page so far.
    pub(crate) requests: u64,
    /// Bytes of this request.
    pub(crate) bytes: u64,
    /// It was the first request of its visitor.
    pub(crate) new_visitor: bool,
    pub(crate) line: Line,
}

/// Where a request comes from: it travels with the request, from the ingest actor to the total.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The key of the ingest actor.
    pub(crate) source: String,
    /// The length of the line.
    pub(crate) bytes: u64,
}

/// From an ingest actor: so many lines of a chunk did not parse.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "rejected")]
pub(crate) struct Rejected {
    pub(crate) source: String,
    pub(crate) lines: u64,
}

/// What is the sum?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "totals", reply = Totals)]
pub(crate) struct AskTotals;

impl Total {
    /// There is one, however many logs and nodes there are.
    pub(crate) const KEY: &'static str = "all";
}

impl Totals {
    /// The lines of all logs.
    pub(crate) fn lines(&self) -> Lines {
        let sum = |sum: Lines, Source { lines, .. }: &Source| Lines {
            requests: sum.requests + lines.requests,
            rejected: sum.rejected + lines.rejected,
        };
        self.sources.values().fold(Lines::default(), sum)
    }

    /// The lines that have come from one ingest actor.
    pub(crate) fn lines_from(&self, source: &str) -> Lines {
        self.sources.get(source).map(|source| source.lines).unwrap_or_default()
    }

    fn count(&mut self, Counted { path, requests, bytes, new_visitor, line }: Counted) -> Option<Report> {
        self.visitors += u64::from(new_visitor);
        self.pages += u64::from(requests == 1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.rank(path, requests);
        let Line { source: key, bytes } = line;
        let source = self.sources.entry(key.clone()).or_default();
        source.lines.requests += 1;
        source.arrived += bytes;
        let is_due = source.arrived - source.reported >= REPORT_BYTES;
        is_due.then(|| {
            source.reported = source.arrived;
            Report { source: key, arrived: Arrived { bytes: source.arrived } }
        })
    }

    /// Puts a page where its count belongs, if that is among the best.
    fn rank(&mut self, path: Vec<u8>, requests: u64) {
        if let Some(before) = self.top.iter().position(|(page, _)| *page == path) {
            self.top.remove(before);
        }
        let is_better = |(page, count): &(Vec<u8>, u64)| *count > requests || (*count == requests && *page < path);
        let place = self.top.partition_point(is_better);
        if place < TOP {
            self.top.insert(place, (path, requests));
            self.top.truncate(TOP);
        }
    }
}

/// What an ingest actor is to be told.
struct Report {
    source: String,
    arrived: Arrived,
}

impl Actor for Total {
    const TYPE: &'static str = "total";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = Totals;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Counted>();
        handlers.on::<Rejected>();
        handlers.on_query::<AskTotals>();
    }
}

impl Handler<Counted> for Total {
    async fn handle(&self, totals: &mut Durable<Totals>, counted: Counted, turn: &mut Turn<'_>) -> Result<(), Failure> {
        if let Some(Report { source, arrived }) = totals.count(counted) {
            turn.send(&Ingest::at(&source), arrived);
        }
        Ok(())
    }
}

impl Handler<Rejected> for Total {
    async fn handle(&self, totals: &mut Durable<Totals>, rejected: Rejected, _: &mut Turn<'_>) -> Result<(), Failure> {
        let Rejected { source, lines } = rejected;
        totals.sources.entry(source).or_default().lines.rejected += lines;
        Ok(())
    }
}

impl QueryHandler<AskTotals> for Total {
    fn answer(&self, totals: &Totals, _: AskTotals) -> Totals {
        totals.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_best_are_those_of_a_full_count() {
        let mut totals = Totals::default();
        let mut counts = BTreeMap::<Vec<u8>, u64>::new();
        let mut random: u64 = 1;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Squared, so that some pages are far more popular than others, with many equal counts among the rest.
            let page = (random >> 33) % 40 * ((random >> 45) % 40);
            let path = format!("/{page}").into_bytes();
            let requests = counts.entry(path.clone()).or_default();
            *requests += 1;
            let line = Line { source: "main".to_owned(), bytes: 1 };
            totals.count(Counted { path, requests: *requests, bytes: 1, new_visitor: false, line });
            if totals.lines().requests.is_multiple_of(97) {
                let mut all: Vec<_> = counts.clone().into_iter().collect();
                all.sort_by(|(path, count), (other, than)| than.cmp(count).then(path.cmp(other)));
                all.truncate(TOP);
                assert_eq!(totals.top, all);
            }
        }
        assert_eq!(totals.pages, counts.len() as u64);
    }
}
