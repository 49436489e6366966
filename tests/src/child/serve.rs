//! The child's side: a node with every actor of the harness, driven from standard input.

use std::io::BufRead;
use std::time::Duration;

use everpost::{Actor, Child, Failure, Group, Node, NodeConfig, Receipt, Schedule};
use tokio::sync::mpsc;

use crate::fuse;
use crate::load;
use crate::probe::Probe;
use crate::protocol::{CHECK_VARIABLE, Command, Event, PRETTY_VARIABLE, Setup, VARIABLE, emit};
use crate::wait::eventually;
use crate::waits::{self, Waiting};
use crate::worker::{Quick, Script, Step, Target, Worker, workers};

/// How many commands may wait.
const COMMANDS_MAX: usize = 64;

/// Runs a node, if the environment says that this process is a child; else does nothing.
///
/// # Panics
///
/// When the parent says something that cannot be understood.
pub fn serve() {
    let Ok(setup) = std::env::var(VARIABLE) else {
        return;
    };
    let setup: Setup = serde_json::from_str(&setup).expect("the parent says how to start");
    let is_pretty = std::env::var_os(PRETTY_VARIABLE).is_some();
    let format = if is_pretty { everpost::LogFormat::Pretty } else { everpost::LogFormat::Json };
    everpost::init_logs(format).expect("logs are set up once");
    fuse::arm();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system has threads").block_on(run(setup));
}

async fn run(setup: Setup) {
    let probe = Probe::echoing(setup.open);
    let config = NodeConfig { attempts_max: setup.attempts_max, ..crate::config() };
    let node = match &setup.seat {
        Some(seat) => seat.builder(&probe),
        None => load::actors(workers(&setup.folder, &probe)),
    };
    let (node, config) = if setup.waits {
        (node.actor(Waiting::<false>).actor(Waiting::<true>), waits::config())
    } else {
        (node, config)
    };
    emit(&Event::Opening);
    if std::env::var_os(CHECK_VARIABLE).is_some() {
        let report = node.config(config).check_upgrade().await.expect("the store can be read");
        return emit(&Event::Checked(report.to_string()));
    }
    let node = match node.config(config).start().await {
        Ok(node) => node,
        Err(error) => return emit(&Event::Refused(error.to_string())),
    };
    let hasty = if setup.waits { Some(waits::hasty(&setup.folder).await) } else { None };
    emit(&Event::Up(node.statistics().replayed));
    let is_told = tokio::select! {
        // First: what a command waits for does not end well either once the node has ended.
        biased;
        _ = node.failed() => true,
        is_told = obey(&node, hasty.as_ref()) => is_told,
    };
    if !is_told {
        return;
    }
    match node.stop().await {
        Ok(()) => {
            if let Some(hasty) = hasty {
                hasty.stop().await.expect("the node stops cleanly");
            }
            emit(&Event::Stopped);
        }
        Err(error) => emit(&Event::Failed(error.to_string())),
    }
}

/// Does as the parent says, until it says to stop, which is left to do, or is gone; whether it was told to.
async fn obey(node: &Node, hasty: Option<&Node>) -> bool {
    let mut commands = listen();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Send(scripts) => send_all(node, scripts).await,
            Command::Drain => {
                node.drained().await.expect("the store works");
                emit(&Event::Drained);
            }
            Command::DrainTo { paused, waiting } => {
                let is_drained = || node.paused().len() == paused && node.statistics().waiting <= waiting;
                eventually("it drains", is_drained).await;
                emit(&Event::Drained);
            }
            Command::Pause(key) => node.actor::<Worker>(&key).pause("told to").await.expect("the store works"),
            Command::Resume(key) => node.actor::<Worker>(&key).resume().await.expect("the store works"),
            Command::Light => fuse::light(),
            Command::Load(streams) => {
                for (stream, first) in streams {
                    tokio::spawn(run_client(node.clone(), stream, first));
                }
            }
            Command::Waits(order) => {
                let hasty = hasty.expect("tests say that there are waits");
                waits::obey(node, hasty, order).await;
            }
            Command::Supervise { restarts } => {
                tokio::spawn(fail_again_and_again(node.clone(), restarts));
            }
            Command::Schedule(number, millis) => {
                let every = Schedule::every(Duration::from_millis(millis)).expect("tests say what can be");
                let script = Script::new([Step::Append(number), Step::Reach(0)]);
                let worker = node.actor::<Worker>("scheduled");
                worker.schedule_named("schedule", script, every).await.expect("the node takes it");
                emit(&Event::Scheduled(number));
            }
            Command::Stop => return true,
        }
    }
    false
}

async fn run_client(node: Node, stream: u32, first: u32) {
    let say = |client| emit(&Event::Client(client));
    let client = tokio::spawn(load::client(node, stream, first..=u32::MAX, say));
    if let Err(failure) = client.await {
        emit(&Event::Broken(format!("stream {stream}: {failure}")));
    }
}

async fn fail_again_and_again(node: Node, restarts: u32) {
    let backoff = crate::config().backoff;
    let failing = Child::permanent("failing", |_| async {
        emit(&Event::Reached(0));
        Err(Failure::retry("it always fails"))
    });
    let group = Group::one_for_one("group").restarts(restarts, Duration::from_secs(3600)).backoff(backoff);
    let group = node.supervise(group.child(failing)).await.expect("the group starts");
    if let Err(ended) = group.ended().await {
        emit(&Event::GaveUp(ended.to_string()));
    }
}

async fn send_all(node: &Node, scripts: Vec<(Target, Vec<Step>)>) {
    let mut receipts: Vec<Receipt> = Vec::with_capacity(scripts.len());
    for (to, steps) in scripts {
        receipts.push(submit(node, &to, Script::new(steps)).await);
    }
    for receipt in receipts {
        let id = receipt.id().to_string();
        receipt.accepted().await.expect("the store works");
        emit(&Event::Accepted(id));
    }
}

async fn submit(node: &Node, to: &Target, script: Script) -> Receipt {
    async fn to_actor<A: Actor + everpost::Handler<Script>>(node: &Node, key: &str, script: Script) -> Receipt {
        node.actor::<A>(key).send(script).submit().await.expect("the node takes it")
    }
    if to.early {
        to_actor::<Quick>(node, &to.key, script).await
    } else {
        to_actor::<Worker>(node, &to.key, script).await
    }
}

/// Reads commands until the parent is gone, which ends the child.
fn listen() -> mpsc::Receiver<Command> {
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let command = serde_json::from_str(&line).expect("the parent speaks the same language");
            if sender.blocking_send(command).is_err() {
                return;
            }
        }
    });
    commands
}
