//! Asks that are given up on, asked anew, edited or left alone: what their turns had asked was forgotten too early, so
//! that its effect was doubled, or never.

use std::sync::Arc;
use std::time::Duration;

use everpost::{Node, NodeConfig, StopError, WhenFull};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::records::replies_left;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read, worker, workers};

/// The middle fails until this is open.
const MEND: u32 = 0;
/// Each attempt of the first turn comes to it.
const FIRST: u32 = 1;
/// Each attempt of the middle comes to it when it has its reply.
const MIDDLE: u32 = 2;
const ATTEMPTS: u32 = 3;

fn config() -> NodeConfig {
    NodeConfig { attempts_max: ATTEMPTS, ..everpost_tests::config() }
}

/// Asks the middle, which asks the last one and then fails.
fn first() -> Script {
    let last = Step::Ask(worker("last"), vec![Step::Append(1)]);
    let middle = vec![last, Step::Reach(MIDDLE), Step::Wait(MIDDLE), Step::FailUntil(MEND)];
    Script::new([Step::Wait(FIRST), Step::Ask(worker("middle"), middle)])
}

/// Lets the middle fail until the ask to it is a dead letter.
async fn give_up(probe: &Probe, letters: &Node, count: usize) {
    (0..ATTEMPTS).for_each(|_| probe.let_one_through(MIDDLE));
    eventually("the ask is given up on", || letters.dead_letters().count() == count).await;
}

/// The first has asked the middle, which is given up on.
async fn ask_and_give_up(probe: &Probe, first_node: &Node, node: &Node) {
    probe.let_one_through(FIRST);
    first_node.actor::<Quick>("first").send(first()).await.unwrap();
    give_up(probe, node, 1).await;
}

/// Nothing fails or waits any more.
fn open_all(probe: &Probe) {
    [MEND, MIDDLE, FIRST].into_iter().for_each(|gate| probe.open(gate));
}

async fn drop_letters(node: &Node) {
    for letter in node.dead_letters().list().await.unwrap() {
        node.dead_letters().delete(letter.sequence).await.unwrap();
    }
}

/// Drops the only letter: as somebody who decides, or because it makes room for another one.
async fn drop_the_letter(config: &NodeConfig, node: &Node) {
    if config.dead_letters_when_full == WhenFull::HoldBack {
        return drop_letters(node).await;
    }
    node.actor::<Worker>("other").send(Script::new([Step::Reject])).await.unwrap();
    eventually("it makes room", || node.statistics().dead_letters_dropped == 1).await;
}

/// Runs `scenario` with all on one node, and with the first on another one than the middle and the last.
async fn check(config: &NodeConfig, scenario: impl AsyncFn(&Node, &Node, &Arc<Probe>)) {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    scenario(&node, &node, &probe).await;
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("last")).await.entries, [1], "its effect happens once");
    drop_letters(&node).await;
    stop([node]).await;
    assert_eq!(replies_left(folder.path()), 0);

    let net = Net::new(&["east", "west"]).with("quick", &["east"]).with("worker", &["west"]).config(config);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    scenario(&east, &west, &probe).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("last")).await.entries, [1], "its effect happens once");
    drop_letters(&east).await;
    drop_letters(&west).await;
    stop([east, west]).await;
    assert_eq!(replies_left(&net.seat("east").folder), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_is_asked_anew_knows_what_its_own_turn_had_asked() {
    check(&config(), async |first_node, node, probe| {
        ask_and_give_up(probe, first_node, node).await;
        open_all(probe);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letter_of_an_ask_that_is_asked_anew_takes_nothing_along_when_it_goes() {
    let oldest = NodeConfig { dead_letters_max: 1, dead_letters_when_full: WhenFull::DropOldest, ..config() };
    for config in [config(), oldest] {
        check(&config, async |first_node, node, probe| {
            ask_and_give_up(probe, first_node, node).await;
            probe.let_one_through(FIRST);
            let attempts = ATTEMPTS as usize;
            probe.reached(MIDDLE, attempts + 1).await;
            drop_the_letter(&config, node).await;
            // An attempt that fails, and the one that commits.
            probe.let_one_through(MIDDLE);
            probe.reached(MIDDLE, attempts + 2).await;
            open_all(probe);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letter_of_an_ask_takes_nothing_along_before_it_is_asked_anew() {
    let oldest = NodeConfig { dead_letters_max: 1, dead_letters_when_full: WhenFull::DropOldest, ..config() };
    for config in [config(), oldest] {
        check(&config, async |first_node, node, probe| {
            ask_and_give_up(probe, first_node, node).await;
            drop_the_letter(&config, node).await;
            open_all(probe);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_turn_of_an_ask_had_asked_is_known_after_a_restart_without_its_letter() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..config() };
    let start = || workers(folder.path(), &probe).config(config.clone()).start();
    let node = start().await.unwrap();
    ask_and_give_up(&probe, &node, &node).await;
    drop_letters(&node).await;
    let stopped = node.stop().await;
    assert!(matches!(stopped, Ok(()) | Err(StopError::CutOff(_))), "{stopped:?}");
    drop(node);
    open_all(&probe);
    let node = start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("last")).await.entries, [1], "its effect happens once");
    stop([node]).await;
    assert_eq!(replies_left(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_turn_of_an_ask_had_asked_goes_with_the_turn_that_makes_do_without_it() {
    check(&config(), async |first_node, _, _| {
        let last = Step::Ask(worker("last"), vec![Step::Append(1)]);
        let makes_do = Step::TryAsk(worker("middle"), vec![last, Step::Reject]);
        first_node.actor::<Quick>("first").send(Script::new([makes_do])).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_letters_of_an_ask_either_keeps_what_its_turn_had_asked() {
    check(&config(), async |first_node, node, probe| {
        ask_and_give_up(probe, first_node, node).await;
        probe.let_one_through(FIRST);
        give_up(probe, node, 2).await;
        let letters = node.dead_letters().list().await.unwrap();
        node.dead_letters().delete(letters[0].sequence).await.unwrap();
        open_all(probe);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_turn_had_asked_goes_when_its_letter_is_edited() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).config(config()).start().await.unwrap();
    let asks = Step::Ask(worker("last"), vec![Step::Append(1)]);
    node.actor::<Worker>("first").send(Script::new([asks, Step::Reject])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    node.dead_letters().edit(letters[0].sequence, &Script::new([Step::Append(2)])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("first")).await.entries, [1, 2][1..]);
    stop([node]).await;
    assert_eq!(replies_left(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_an_ask_that_nobody_waits_for_and_that_is_given_up_on() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { ask_timeout: Duration::from_millis(50), ..config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let asks = Step::TryAsk(worker("last"), vec![Step::Wait(MEND), Step::Reject]);
    node.actor::<Worker>("first").send(Script::new([asks])).await.unwrap();
    eventually("the turn commits", || node.statistics().handled == 1).await;
    probe.open(MEND);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.dead_letters().count(), 1);
    drop_letters(&node).await;
    stop([node]).await;
    assert_eq!(replies_left(folder.path()), 0);
}

/// An ask that was handled in the moment in which the turn that had asked ended without it left its reply, and the
/// note that it was asked, until the next start.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_asks_that_are_handled_while_the_turns_that_asked_end_without_them() {
    const PAIRS: u64 = 200;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { ask_timeout: Duration::from_millis(50), ..config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    for pair in 0..PAIRS {
        let asks = Step::TryAsk(worker(&format!("last-{pair}")), vec![Step::Wait(MEND)]);
        node.actor::<Worker>(&format!("first-{pair}")).send(Script::new([asks])).await.unwrap();
    }
    eventually("the first have waited for long enough", || node.statistics().handled > 0).await;
    probe.open(MEND);
    soon("it drains", node.drained()).await.unwrap();
    eventually("all are counted", || node.statistics().handled == 2 * PAIRS).await;
    stop([node]).await;
    assert_eq!(replies_left(folder.path()), 0);
}

/// What it asks after an ask that was given up on was taken for an attempt of that ask: it could never be
/// handled.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_ask_was_given_up_on_may_ask_another_actor_instead() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).config(config()).start().await.unwrap();
    let last = Step::Ask(worker("last"), vec![Step::Append(1)]);
    let given_up = (worker("middle"), vec![last, Step::Reject]);
    let asks = Step::AskAnother(1, given_up, (worker("other"), vec![Step::Append(7)]));
    node.actor::<Worker>("first").send(Script::new([asks])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("first")).await.entries, [7]);
    assert_eq!(node.dead_letters().count(), 1, "of the middle");
    drop_letters(&node).await;
    stop([node]).await;
    assert_eq!(replies_left(folder.path()), 0);
}
