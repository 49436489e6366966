//! Settings as nobody would choose them: whatever the validation accepts, a small workload on two nodes ends with the
//! same figures, or is refused by name.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use everpost::{
    ActorHandle, AdmissionError, Backoff, LinkConfig, Node, NodeConfig, Refusal, SendError, StartError, StoreConfig,
    WhenFull,
};
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::seeds::{Random, seeds};
use everpost_tests::worker::{Read, Script, Step, Worker, worker};

const NODES: [&str; 2] = ["east", "west"];
/// Workers that each node sends to, on both nodes, and how many messages each gets in a round.
const KEYS: u32 = 6;
const MESSAGES: u32 = 10;
const ROUNDS: u32 = 2;
/// What the smallest settings may take: each message a commit, a passivation and a handshake, on a busy machine.
const TIME: Duration = Duration::from_secs(120);

/// How a workload ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Done,
    /// By the name of what refused it.
    Refused(String),
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_settings_are_accepted_a_workload_ends_with_the_same_figures_or_is_refused_by_name() {
    let mut ends = BTreeMap::<_, u32>::new();
    for seed in seeds(
        "settings::whatever_settings_are_accepted_a_workload_ends_with_the_same_figures_or_is_refused_by_name",
        24,
    ) {
        let mut random = seed.random();
        let mut net = Net::new(&NODES);
        // What both sides must agree on.
        let partitions = NonZeroU16::new(u16::try_from(number(&mut random, 1, 64)).unwrap()).unwrap();
        for name in NODES {
            let seat = net.seat_mut(name);
            seat.config = config(&mut random, partitions);
            seat.link = link(&mut random, &seat.link);
        }
        let told = NODES.map(|name| format!("{:#?}\n{:#?}", net.seat(name).config, net.seat(name).link));
        let end = tokio::time::timeout(TIME, workload(&net)).await;
        let end =
            end.unwrap_or_else(|_| panic!("seed {}: it stands still with {}\n{}", seed.value(), told[0], told[1]));
        *ends.entry(end).or_default() += 1;
    }
    for (end, times) in &ends {
        eprintln!("{times:>6}  {end:?}");
    }
    assert!(ends.contains_key(&End::Done), "none of them ended: {ends:?}");
}

/// Sends from both nodes to workers on both, which send on; in between one node is started anew.
async fn workload(net: &Net) -> End {
    let probe = Probe::new();
    let mut nodes = Vec::new();
    for name in NODES {
        match net.seat(name).builder(&probe).start().await {
            Ok(node) => nodes.push(node),
            Err(error) => {
                stop(nodes).await;
                return refused_start(error);
            }
        }
    }
    for round in 0..ROUNDS {
        for number in 1..=MESSAGES {
            for node in &nodes {
                for key in 0..KEYS {
                    let (own, next) = (format!("{}-{key}", node.name()), format!("{}-{key}-next", node.name()));
                    let count = Step::Count(round * MESSAGES + number);
                    let steps = [count.clone(), Step::Send(worker(&next), vec![count])];
                    let script = Script::padded(steps, (number * 97 % 400) as usize);
                    if let Err(refused) = send(&node.actor::<Worker>(&own), script).await {
                        stop(nodes).await;
                        return refused;
                    }
                }
            }
        }
        let west = nodes.pop().unwrap();
        // A stop that hardly waits for turns says that it has cut some off.
        let _ = west.stop().await;
        nodes.push(net.seat("west").builder(&probe).start().await.unwrap());
    }
    for origin in NODES {
        for key in 0..KEYS {
            for key in [format!("{origin}-{key}"), format!("{origin}-{key}-next")] {
                figures(&nodes[0], &key).await;
            }
        }
    }
    for node in &nodes {
        assert_eq!(node.statistics().dead_lettered, 0, "{}: nothing is given up on", node.name());
    }
    stop(nodes).await;
    End::Done
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        let _ = node.stop().await;
    }
}

fn refused_start(error: StartError) -> End {
    match error {
        StartError::Config(error) => End::Refused(error.setting.to_owned()),
        error => panic!("settings that are accepted start a node: {error}"),
    }
}

/// Sends until there is room; what will never go is refused.
async fn send(actor: &ActorHandle<Worker>, mut script: Script) -> Result<(), End> {
    loop {
        match actor.send(script).await {
            Ok(_) => return Ok(()),
            Err(SendError::NotAccepted { message, reason }) => {
                script = message;
                match reason {
                    Refusal::MailboxFull
                    | Refusal::NodeFull { .. }
                    | Refusal::OutboxFull { .. }
                    | Refusal::Store(AdmissionError::QueueFull | AdmissionError::StoreFull { .. }) => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Refusal::MessageTooLarge { .. } | Refusal::TooLargeForNode { .. } => {
                        return Err(End::Refused("a message that is too large".to_owned()));
                    }
                    other => panic!("{other}"),
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until this worker has counted everything, and judges what it counted.
async fn figures(node: &Node, key: &str) {
    let actor = node.actor::<Worker>(key);
    let all = ROUNDS * MESSAGES;
    loop {
        // It fails while the link is down.
        if let Ok(log) = actor.query(Read).timeout(TIME).await {
            assert!(log.count <= u64::from(all) && log.jumps == 0, "{key}: {log:?}");
            if log.count == u64::from(all) && log.last == all {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The smallest that there may be, a random one up to the usual one, or the usual one.
fn number(random: &mut Random, least: u64, usual: u64) -> u64 {
    match random.below(3) {
        0 => least,
        1 => {
            // So that each size is as likely as the next.
            let bits = (usual / least.max(1)).max(1).ilog2();
            let most = least.max(1) << random.below(u64::from(bits) + 1);
            least + random.below(most.max(1))
        }
        _ => usual,
    }
}

fn size(random: &mut Random, least: usize, usual: usize) -> usize {
    usize::try_from(number(random, least as u64, usual as u64)).unwrap()
}

fn time(random: &mut Random, usual: Duration) -> Duration {
    match random.below(12) {
        0 => Duration::MAX,
        _ => Duration::from_nanos(number(random, 1, u64::try_from(usual.as_nanos()).unwrap_or(u64::MAX))),
    }
}

/// Random settings that the validation accepts.
fn config(random: &mut Random, partitions: NonZeroU16) -> NodeConfig {
    loop {
        let config = unchecked(random, partitions);
        if config.validate().is_ok() && config.store.validate().is_ok() {
            return config;
        }
    }
}

fn unchecked(random: &mut Random, partitions: NonZeroU16) -> NodeConfig {
    let usual = NodeConfig::default();
    let backoff = Backoff { first: time(random, usual.backoff.first), cap: time(random, usual.backoff.cap) };
    NodeConfig {
        attempts_max: u32::try_from(number(random, 1, u64::from(usual.attempts_max))).unwrap(),
        backoff,
        idle_after: time(random, usual.idle_after),
        activations_max: size(random, 1, usual.activations_max),
        mailbox_messages_max: size(random, 1, usual.mailbox_messages_max),
        mailbox_bytes_max: size(random, 1, usual.mailbox_bytes_max),
        node_messages_max: size(random, 1, usual.node_messages_max),
        node_bytes_max: size(random, 1, usual.node_bytes_max),
        dead_letters_max: size(random, 1, usual.dead_letters_max),
        dead_letters_when_full: if random.once_in(2) { WhenFull::HoldBack } else { WhenFull::DropOldest },
        dead_letter_retention: time(random, usual.dead_letter_retention),
        message_bytes_max: size(random, 1024, usual.message_bytes_max),
        window_bytes_max: size(random, 0, usual.window_bytes_max),
        outbox_messages_max: size(random, 1, usual.outbox_messages_max),
        outbox_bytes_max: size(random, 1, usual.outbox_bytes_max),
        timers_max: size(random, 0, usual.timers_max),
        send_timeout: time(random, usual.send_timeout),
        ask_timeout: time(random, usual.ask_timeout),
        idempotency_retention: time(random, usual.idempotency_retention),
        idempotency_keys_max: size(random, 1, usual.idempotency_keys_max),
        queries_max: size(random, 1, usual.queries_max),
        // A stop that does not wait for turns leaves them for the next start.
        stop_timeout: time(random, usual.stop_timeout),
        store: store(random, partitions),
    }
}

fn store(random: &mut Random, partitions: NonZeroU16) -> StoreConfig {
    let usual = StoreConfig::default();
    StoreConfig {
        partitions,
        journal_map_bytes: number(random, 1 << 20, 64 << 20),
        tables_map_bytes: number(random, 1 << 20, 64 << 20),
        queue_turns_max: size(random, 1, usual.queue_turns_max),
        queue_bytes_max: size(random, 4096, usual.queue_bytes_max),
        group_turns_max: size(random, 1, usual.group_turns_max),
        group_bytes_max: size(random, 1, usual.group_bytes_max),
        checkpoint_bytes: size(random, 1, usual.checkpoint_bytes),
        checkpoint_age: time(random, usual.checkpoint_age),
        overlay_bytes_max: size(random, 2, usual.overlay_bytes_max),
        reserve_disk_bytes: number(random, 0, usual.reserve_disk_bytes),
        disk_headroom_bytes: 0,
    }
}

/// A time from `least` on up to the usual one.
fn wait(random: &mut Random, least: Duration, usual: Duration) -> Duration {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
    Duration::from_micros(number(random, micros(least), micros(usual)))
}

/// Random settings of links that the validation accepts.
fn link(random: &mut Random, usual: &LinkConfig) -> LinkConfig {
    const LEAST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let keep_alive = wait(random, LEAST, usual.keep_alive);
    let handshake_first = wait(random, LEAST, usual.handshake_first);
    let handshake_least = handshake_first.max(Duration::from_millis(100));
    let reconnect_first = wait(random, LEAST, usual.reconnect_first);
    let reconnect_cap = wait(random, reconnect_first, usual.reconnect_cap);
    let mut wait_or_longest =
        |least: Duration, usual: Duration| if random.once_in(6) { LONGEST } else { wait(random, least, usual) };
    LinkConfig {
        keep_alive,
        idle_timeout: wait_or_longest(keep_alive * 3, usual.idle_timeout.max(keep_alive * 3)),
        handshake_first,
        handshake_cap: wait_or_longest(handshake_least, usual.handshake_cap),
        reconnect_first,
        reconnect_cap,
        send_window_bytes: size(random, 1, usual.send_window_bytes),
        lane_window_bytes: size(random, 1, usual.lane_window_bytes),
        streams: u8::try_from(number(random, 1, 64)).unwrap(),
    }
}
