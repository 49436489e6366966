//! What can be done with dead letters.

use everpost::{
    Actor, DeadLetter, DeadLetterError, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, Reason,
    Sequence, Turn,
};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, worker, workers};
use serde::{Deserialize, Serialize};

/// A node with one dead letter: it was tried twice, and is handled at the third attempt ever.
async fn with_a_letter(folder: &std::path::Path, probe: &std::sync::Arc<Probe>) -> (Node, DeadLetter) {
    let config = NodeConfig { attempts_max: 2, ..everpost_tests::config() };
    let node = workers(folder, probe).config(config).start().await.unwrap();
    let script = Script::new([Step::Note, Step::Wait(0), Step::FailUpTo(2), Step::Append(1)]);
    probe.let_one_through(0);
    probe.let_one_through(0);
    node.actor::<Worker>("one").send(script).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), node.dead_letters().count()), (1, 1));
    (node, letters.into_iter().next().expect("there is one"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_letter_keeps_its_id_and_its_keys_and_is_gone_from_the_shelf() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let (node, letter) = with_a_letter(folder.path(), &probe).await;
    assert_eq!(node.dead_letters().get(letter.sequence).await.unwrap().unwrap().id, letter.id);
    probe.open(0);
    // Two replays at once are one.
    let letters = node.dead_letters();
    let (one, two) = tokio::join!(letters.replay(letter.sequence), letters.replay(letter.sequence));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let not_there = |result: &Result<(), DeadLetterError>| matches!(result, Err(DeadLetterError::NotThere(_)));
    assert!(not_there(&one) || not_there(&two));
    soon("it drains", node.drained()).await.unwrap();
    // It fails as before: told to fail up to the second attempt of each life.
    let again = node.dead_letters().list().await.unwrap();
    assert_eq!((again.len(), again[0].id, again[0].attempts), (1, letter.id, 2));
    assert!(again[0].sequence > letter.sequence);
    let notes = probe.seen().of("worker/one");
    assert_eq!(notes.iter().map(|note| note.attempt).collect::<Vec<_>>(), [1, 2, 1, 2]);
    assert!(notes.iter().all(|note| note.idempotency_key == notes[0].idempotency_key), "it counts once outside");
    node.stop().await.unwrap();
    drop(node);
    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.dead_letters().count(), 1, "the number is known after a restart");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_letter_is_another_message_that_says_what_it_replaces() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let (node, letter) = with_a_letter(folder.path(), &probe).await;
    let letters = node.dead_letters();
    let edited = Script::new([Step::Append(7), Step::Reject]);
    let id = letters.edit(letter.sequence, &edited).await.unwrap();
    assert_ne!(id, letter.id);
    soon("it drains", node.drained()).await.unwrap();
    let again = letters.list().await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id, again[0].replaces, again[0].trace), (id, Some(letter.id), letter.trace));
    letters.edit(again[0].sequence, &Script::new([Step::Append(8)])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((read(&node.actor::<Worker>("one")).await.entries, letters.count()), (vec![8], 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_dead_letter_is_gone_and_what_cannot_be_sent_again_stays() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let (node, letter) = with_a_letter(folder.path(), &probe).await;
    let letters = node.dead_letters();
    let unhandled = letters.edit(letter.sequence, &everpost_tests::worker::Stranger).await;
    assert!(matches!(unhandled, Err(DeadLetterError::NotHandled { .. })), "{unhandled:?}");
    let missing = letters.replay(Sequence(letter.sequence.0 + 1000)).await;
    assert!(matches!(missing, Err(DeadLetterError::NotThere(_))), "{missing:?}");
    assert_eq!(letters.count(), 1);
    letters.delete(letter.sequence).await.unwrap();
    assert!(matches!(letters.delete(letter.sequence).await, Err(DeadLetterError::NotThere(_))));
    assert_eq!((letters.count(), letters.list().await.unwrap().len()), (0, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ask_of_a_turn_is_not_replayed_since_the_turn_asks_anew() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { attempts_max: 2, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let asks = Script::new([Step::TryAsk(worker("asked"), vec![Step::FailUpTo(9)])]);
    node.actor::<Worker>("asking").send(asks).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    let refused = node.dead_letters().replay(letters[0].sequence).await;
    assert!(matches!(refused, Err(DeadLetterError::Ask(_))), "{refused:?}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_shelf_messages_stay_in_their_mailboxes_until_there_is_room() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { dead_letters_max: 2, attempts_max: 1, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    for key in 0..4 {
        node.actor::<Worker>(&key.to_string()).send(Script::new([Step::Reach(1), Step::Reject])).await.unwrap();
    }
    let letters = node.dead_letters();
    probe.reached(1, 20).await;
    assert_eq!((letters.count(), node.statistics().waiting), (2, 2), "nothing is lost, and no more are kept");
    for letter in letters.list().await.unwrap() {
        letters.delete(letter.sequence).await.unwrap();
    }
    soon("the others die", node.drained()).await.unwrap();
    assert_eq!(letters.count(), 2);
    node.stop().await.unwrap();
}

/// Hears of its dead letters.
struct Mourner;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "die")]
struct Die {
    twice: bool,
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "heard", reply = Vec<String>)]
struct Heard;

impl Actor for Mourner {
    const TYPE: &'static str = "mourner";
    type State = Vec<String>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Die>();
        handlers.on::<DeadLetter>();
        handlers.on::<Heard>();
    }
}

impl Handler<Die> for Mourner {
    async fn handle(&self, _: &mut Durable<Vec<String>>, _: Die, _: &mut Turn<'_>) -> Result<(), Failure> {
        Err(Failure::reject("told to die"))
    }
}

impl Handler<DeadLetter> for Mourner {
    async fn handle(
        &self,
        heard: &mut Durable<Vec<String>>,
        letter: DeadLetter,
        _: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        let die: Die = postcard::from_bytes(&letter.payload)?;
        if die.twice {
            return Err(Failure::reject("not to be told of it again"));
        }
        heard.push(format!("{} {:?} {}", letter.message, letter.reason, letter.errors.join(", ")));
        Ok(())
    }
}

impl Handler<Heard> for Mourner {
    async fn handle(
        &self,
        heard: &mut Durable<Vec<String>>,
        _: Heard,
        _: &mut Turn<'_>,
    ) -> Result<Vec<String>, Failure> {
        Ok(heard.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_wants_to_know_is_told_of_its_own_dead_letters_once() {
    let folder = everpost_tests::folder();
    let node = Node::builder("node", folder.path()).actor(Mourner).config(everpost_tests::config());
    let node = node.start().await.unwrap();
    let mourner = node.actor::<Mourner>("one");
    mourner.send(Die { twice: false }).await.unwrap();
    mourner.send(Die { twice: true }).await.unwrap();
    eventually("three have died", || node.dead_letters().count() == 3).await;
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(mourner.ask(Heard).await.unwrap(), ["die Rejected told to die"]);
    let letters = node.dead_letters().list().await.unwrap();
    assert!(letters.iter().all(|letter| letter.reason == Reason::Rejected));
    assert_eq!(letters[2].message, DeadLetter::NAME, "the letter about a letter is the last");
    node.stop().await.unwrap();
}
