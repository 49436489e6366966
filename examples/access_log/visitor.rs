//! `visitor/<ip>` counts the requests of one visitor and forwards each to its page.

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, State, Turn};
use serde::{Deserialize, Serialize};

use super::names;
use super::page::{Hit, Page};
use super::total::Line;

#[derive(Debug)]
pub(crate) struct Visitor;

#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "visits")]
pub(crate) struct Visits {
    requests: u64,
}

/// From the ingest actor: one request of this visitor.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "request")]
pub(crate) struct Request {
    pub(crate) path: Vec<u8>,
    pub(crate) bytes: u64,
    pub(crate) line: Line,
}

impl Actor for Visitor {
    const TYPE: &'static str = "visitor";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = Visits;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Request>();
    }
}

impl Handler<Request> for Visitor {
    async fn handle(&self, visits: &mut Durable<Visits>, request: Request, turn: &mut Turn<'_>) -> Result<(), Failure> {
        visits.requests += 1;
        let new_visitor = visits.requests == 1;
        let Request { path, bytes, line } = request;
        let page = Page::at(&names::key(&path));
        turn.send(&page, Hit { path, bytes, new_visitor, line });
        Ok(())
    }
}
