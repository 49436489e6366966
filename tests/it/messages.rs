//! What may be sent and what is refused, the order of many senders, and forgetting.

use everpost::{ADDRESS_BYTES_MAX, Actor, Node, NodeConfig, Reason, Refusal, SendError};
use everpost_tests::load::{Job, Source};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Log, Quick, Script, Step, Stranger, Target, Worker, quick, read, worker, workers};

fn reason<M>(error: SendError<M>) -> Refusal {
    match error {
        SendError::NotAccepted { reason, .. } => reason,
        other => panic!("the store failed: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_sender_are_handled_in_order_under_many_senders() {
    const SENDERS: u32 = 20;
    const EACH: u32 = 100;
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    // Half of them are outside, half are turns of other actors.
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let node = node.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let append = vec![Step::Append(sender * EACH + number)];
                    if sender % 2 == 0 {
                        let _receipt = node.actor::<Quick>("busy").send(Script::new(append)).submit().await.unwrap();
                    } else {
                        let own = node.actor::<Worker>(&sender.to_string());
                        let _receipt =
                            own.send(Script::new([Step::Send(quick("busy"), append)])).submit().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        soon("all are sent", sender).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    let entries = read(&node.actor::<Quick>("busy")).await.entries;
    for sender in 0..SENDERS {
        let own: Vec<_> = entries.iter().copied().filter(|entry| entry / EACH == sender).collect();
        assert_eq!(own, (sender * EACH..(sender + 1) * EACH).collect::<Vec<_>>(), "sender {sender}");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_passes_and_a_larger_one_is_refused() {
    let folder = everpost_tests::folder();
    let bytes_max = 2 << 20;
    let config = NodeConfig { message_bytes_max: bytes_max, ..everpost_tests::config() };
    let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::padded([Step::Append(1), Step::PanicUpTo(1)], bytes_max - 1024)).await.unwrap();
    let too_large = Script::padded([Step::Append(2)], bytes_max);
    let refused = actor.send(too_large).await.unwrap_err();
    let SendError::NotAccepted { reason: Refusal::MessageTooLarge { bytes, bytes_max: max }, .. } = &refused else {
        panic!("{refused:?}")
    };
    let named = *bytes > bytes_max && *max == bytes_max;
    assert!(named, "{refused:?}");
    assert_eq!(refused.into_message().unwrap().padding.len(), bytes_max, "it is handed back");
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_handles_is_refused_at_the_send() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let refused = reason(node.actor::<Worker>("one").send(Stranger).await.unwrap_err());
    let named = matches!(refused, Refusal::NotHandled { actor_type: "worker", message: "stranger" });
    assert!(named, "{refused:?}");
    // An actor type that is not part of the node.
    let job = Job { stream: 0, number: 1 };
    let refused = reason(node.actor::<Source<false>>("one").send(job).await.unwrap_err());
    assert!(matches!(refused, Refusal::NotHandled { actor_type: "source", message: "job" }), "{refused:?}");
    assert_eq!(node.statistics().mailboxes, 0, "a refused message leaves nothing behind");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_too_long_is_refused() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let longest = "k".repeat(ADDRESS_BYTES_MAX - Worker::TYPE.len() - 1);
    node.actor::<Worker>(&longest).ask(Script::new([Step::Append(1)])).await.unwrap();
    let refused = reason(node.actor::<Worker>(&format!("{longest}k")).send(Script::new([])).await.unwrap_err());
    assert!(matches!(refused, Refusal::AddressTooLong { bytes } if bytes == ADDRESS_BYTES_MAX + 1), "{refused:?}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_sends_what_cannot_be_sent_leaves_nothing_behind() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let too_long = Target { early: false, key: "k".repeat(ADDRESS_BYTES_MAX) };
    let steps = [Step::Append(1), Step::Send(worker("other"), vec![Step::Append(1)]), Step::Send(too_long, vec![])];
    node.actor::<Worker>("one").send(Script::new(steps)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason), (1, Reason::Rejected));
    assert!(letters[0].errors[0].contains("cannot be sent"), "{:?}", letters[0].errors);
    assert_eq!(read(&node.actor::<Worker>("one")).await, Log::default());
    assert_eq!(read(&node.actor::<Worker>("other")).await, Log::default());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_actor_starts_anew_once_its_mailbox_was_empty() {
    const GATE: u32 = 0;
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Append(1), Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    actor.send(Script::new([Step::Forget])).await.unwrap();
    // Behind the turn that asks to be forgotten: it still sees the state, and the state goes with the last of them.
    let last = tokio::spawn({
        let actor = actor.clone();
        async move { actor.ask(Script::new([Step::Append(2), Step::FailUpTo(1)])).await }
    });
    everpost_tests::wait::eventually("all are queued", || node.statistics().waiting == 3).await;
    probe.open(GATE);
    assert_eq!(soon("the last turn ends", last).await.unwrap().unwrap(), [1, 2]);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await, Log::default());
    assert_eq!(actor.ask(Script::new([Step::Append(3)])).await.unwrap(), [3]);
    node.stop().await.unwrap();

    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [3], "what came after it stays");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forget_of_a_failed_turn_forgets_nothing() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.ask(Script::new([Step::Append(1)])).await.unwrap();
    actor.send(Script::new([Step::Forget, Step::Reject])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1]);
    actor.send(Script::new([Step::Forget])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await, Log::default());
    node.stop().await.unwrap();
    restart_finds_nothing(folder.path()).await;
}

async fn restart_finds_nothing(folder: &std::path::Path) {
    let node: Node = workers(folder, &Probe::new()).start().await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await, Log::default());
    node.stop().await.unwrap();
}
