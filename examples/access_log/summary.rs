//! The summary adds up what the pages count. Its state has a fixed size, however many visitors and pages there are.
//!
//! That the ten best pages are enough to know the ten best pages: a page reports each time its count grows, and counts
//! only grow. A page that is not among the ten was behind ten others when it last reported, and they have only grown
//! since.

use everpost::{Actor, Answer, Delivery, Durable, Failure, Handler, Handlers, Message, Turn};
use serde::{Deserialize, Serialize};

use super::ingest::{Arrived, Ingest};

/// How many pages are kept.
const TOP: usize = 10;
/// How many bytes of lines arrive between two reports to the ingest actor.
const REPORT_BYTES: u64 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Summary;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) visitors: u64,
    pub(crate) pages: u64,
    pub(crate) bytes: u64,
    /// The most requested pages, best first.
    pub(crate) top: Vec<(Vec<u8>, u64)>,
    /// Bytes of lines that have arrived here, and how many of them the ingest actor knows of.
    arrived: u64,
    reported: u64,
}

/// From a visitor, at its first request.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "new_visitor")]
pub(crate) struct NewVisitor;

/// From a page, at each request.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "counted")]
pub(crate) struct Counted {
    pub(crate) path: Vec<u8>,
    /// Requests of this page so far.
    pub(crate) requests: u64,
    /// Bytes of this request.
    pub(crate) bytes: u64,
    pub(crate) line_bytes: u64,
}

/// What is the sum?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "totals", reply = Totals)]
pub(crate) struct AskTotals;

impl Summary {
    /// The only summary of a data folder.
    pub(crate) const KEY: &'static str = "all";
}

impl Totals {
    fn count(&mut self, Counted { path, requests, bytes, line_bytes }: Counted) {
        self.requests += 1;
        self.pages += u64::from(requests == 1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.arrived += line_bytes;
        self.rank(path, requests);
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

impl Actor for Summary {
    const TYPE: &'static str = "summary";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = Totals;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<NewVisitor>();
        handlers.on::<Counted>();
    }
}

impl Handler<NewVisitor> for Summary {
    async fn handle(&self, totals: &mut Durable<Totals>, _: NewVisitor, _: &mut Turn<'_>) -> Result<(), Failure> {
        totals.visitors += 1;
        Ok(())
    }
}

impl Handler<Counted> for Summary {
    async fn handle(&self, totals: &mut Durable<Totals>, counted: Counted, turn: &mut Turn<'_>) -> Result<(), Failure> {
        totals.count(counted);
        if totals.arrived - totals.reported >= REPORT_BYTES {
            totals.reported = totals.arrived;
            turn.send(&Ingest::at(Ingest::KEY), Arrived { bytes: totals.arrived });
        }
        Ok(())
    }
}

impl Answer<AskTotals> for Summary {
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
        let mut counts = std::collections::BTreeMap::<Vec<u8>, u64>::new();
        let mut random: u64 = 1;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Squared, so that some pages are far more popular than others, with many equal counts among the rest.
            let page = (random >> 33) % 40 * ((random >> 45) % 40);
            let path = format!("/{page}").into_bytes();
            let requests = counts.entry(path.clone()).or_default();
            *requests += 1;
            totals.count(Counted { path, requests: *requests, bytes: 1, line_bytes: 1 });
            if totals.requests.is_multiple_of(97) {
                let mut all: Vec<_> = counts.clone().into_iter().collect();
                all.sort_by(|(path, count), (other, than)| than.cmp(count).then(path.cmp(other)));
                all.truncate(TOP);
                assert_eq!(totals.top, all);
            }
        }
        assert_eq!(totals.pages, counts.len() as u64);
    }
}
