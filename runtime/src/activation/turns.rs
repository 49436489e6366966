//! When a worker lets others run: it takes turns without an await that waits, and would keep its thread otherwise.

/// How many turns a worker takes before it lets others run.
const TURNS_AT_A_TIME: usize = 64;

/// The turns of a worker since it has let others run.
#[derive(Debug, Default)]
pub(crate) struct Turns(usize);

impl Turns {
    pub(crate) fn add(&mut self, turns: usize) {
        self.0 += turns;
    }

    /// Others run now, since nothing is to be done here.
    pub(super) fn others_run(&mut self) {
        self.0 = 0;
    }

    /// Lets others run after so many turns.
    pub(crate) async fn let_others_run(&mut self) {
        if self.0 >= TURNS_AT_A_TIME {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
