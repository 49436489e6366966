//! `page/<path>` counts the requests and the bytes of one page and tells the total.

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, State, Turn};
use serde::{Deserialize, Serialize};

use super::total::{Counted, Line, Total};

#[derive(Debug)]
pub(crate) struct Page;

#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "traffic")]
pub(crate) struct Traffic {
    requests: u64,
    bytes: u64,
}

/// From a visitor: one request of this page.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "hit")]
pub(crate) struct Hit {
    pub(crate) path: Vec<u8>,
    pub(crate) bytes: u64,
    /// It was the first request of its visitor.
    pub(crate) new_visitor: bool,
    pub(crate) line: Line,
}

impl Actor for Page {
    const TYPE: &'static str = "page";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = Traffic;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Hit>();
    }
}

impl Handler<Hit> for Page {
    async fn handle(&self, traffic: &mut Durable<Traffic>, hit: Hit, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Hit { path, bytes, new_visitor, line } = hit;
        traffic.requests += 1;
        traffic.bytes = traffic.bytes.saturating_add(bytes);
        let counted = Counted { path, requests: traffic.requests, bytes, new_visitor, line };
        turn.send(&Total::at(Total::KEY), counted);
        Ok(())
    }
}
