//! `page/<path>` counts the requests and the bytes of one page and tells the summary.

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, Turn};
use serde::{Deserialize, Serialize};

use super::summary::{Counted, Summary};

#[derive(Debug)]
pub(crate) struct Page;

#[derive(Debug, Default, Serialize, Deserialize)]
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
    pub(crate) line_bytes: u64,
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
        let Hit { path, bytes, line_bytes } = hit;
        traffic.requests += 1;
        traffic.bytes = traffic.bytes.saturating_add(bytes);
        let counted = Counted { path, requests: traffic.requests, bytes, line_bytes };
        turn.send(&Summary::at(Summary::KEY), counted);
        Ok(())
    }
}
