//! Queries: volatile, answered from the state alone. The answer leaves when the state that it saw is durable.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::actor::QueryHandler;
use crate::api::handle::ActorHandle;
use crate::base::clock::Deadline;
use crate::message::Message;
use crate::message::refusal::QueryError;
use crate::shard::Unmet;

/// A query that has not been asked yet; `.await` asks it. Made by [`ActorHandle::query`].
///
/// ```
/// # use everpost::*;
/// # use serde::{Deserialize, Serialize};
/// #
/// # #[derive(Serialize, Deserialize, Message)] struct Deposit { cents: i64 }
/// # #[derive(Serialize, Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct GetBalance;
/// #
/// # struct Account;
/// #
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account";
/// #     type State = i64;
/// #
/// #     fn handlers(handlers: &mut Handlers<Self>) {
/// #         handlers.on::<Deposit>();
/// #         handlers.on_query::<GetBalance>();
/// #     }
/// # }
/// #
/// # impl QueryHandler<GetBalance> for Account {
/// #     fn answer(&self, balance: &i64, _: GetBalance) -> i64 {
/// #         *balance
/// #     }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<(), Failure> {
/// #         **balance += deposit.cents;
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
/// # use std::time::Duration;
/// let alice = node.actor::<Account>("alice");
/// let balance = alice.query(GetBalance).timeout(Duration::from_secs(1)).await?; // is stored nowhere
/// assert_eq!(balance, 0);
/// # node.stop().await?;
/// # Ok(()) }
/// ```
///
/// # Cancel safety
///
/// A query that is dropped changes nothing.
#[must_use = "a query does nothing until it is awaited"]
pub struct Query<'h, A, Q> {
    handle: &'h ActorHandle<A>,
    query: Q,
    timeout: Duration,
}

impl<'h, A: QueryHandler<Q>, Q: Message> Query<'h, A, Q> {
    pub(crate) fn new(handle: &'h ActorHandle<A>, query: Q, timeout: Duration) -> Self {
        Self { handle, query, timeout }
    }

    /// How long to wait for the answer, instead of the node's `ask_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(self) -> Result<Q::Reply, QueryError> {
        let shard = self.handle.current.get();
        let answer = self.handle.answer_to(&shard, self.query);
        match shard.within(Deadline::after(self.timeout), answer).await {
            Ok(answered) => answered,
            Err(Unmet::Late) => Err(QueryError::Timeout(self.timeout)),
            Err(Unmet::Over) => Err(QueryError::Lost),
        }
    }
}

impl<'h, A: QueryHandler<Q>, Q: Message> IntoFuture for Query<'h, A, Q> {
    type Output = Result<Q::Reply, QueryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A, Q> fmt::Debug for Query<'_, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
