//! Calls to the provider.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::protocol::{Call, Reply, Request};

/// How long a payment waits for an answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// How long the ask at the end does, after which nobody asks again.
const BALANCE_WITHIN: Duration = Duration::from_secs(30);

/// The provider as it is seen from here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider(pub(crate) SocketAddr);

impl Provider {
    /// Whether the provider has done it. An error says nothing about that.
    pub(crate) async fn call(&self, call: Call) -> io::Result<bool> {
        match self.ask(&Request::Call(call), ANSWER_WITHIN).await? {
            Reply::Decided { accepted } => Ok(accepted),
            other @ Reply::Balance { .. } => Err(io::Error::other(format!("the provider says {other:?}"))),
        }
    }

    /// How much money the provider has taken and not given back, in cents.
    pub(crate) async fn balance(&self) -> io::Result<u64> {
        match self.ask(&Request::Balance, BALANCE_WITHIN).await? {
            Reply::Balance { cents } => Ok(cents),
            other @ Reply::Decided { .. } => Err(io::Error::other(format!("the provider says {other:?}"))),
        }
    }

    async fn ask(&self, request: &Request, within: Duration) -> io::Result<Reply> {
        let asked = tokio::time::timeout(within, async {
            let mut stream = TcpStream::connect(self.0).await?;
            let mut line = serde_json::to_string(request)?;
            line.push('\n');
            stream.write_all(line.as_bytes()).await?;
            line.clear();
            BufReader::new(stream).read_line(&mut line).await?;
            Ok(serde_json::from_str(&line)?)
        });
        asked.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the provider does not answer")))
    }
}
