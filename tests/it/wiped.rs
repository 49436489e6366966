//! A node that comes back with an empty store: others say so aloud, and go on with it.

use everpost_tests::logs;
use everpost_tests::net::{Net, Seat, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::worker::{Script, Step, Worker, read};

/// The same node with an empty store; the folder goes with the second value.
fn wiped(seat: &Seat) -> (Seat, tempfile::TempDir) {
    let folder = everpost_tests::folder();
    (Seat { folder: folder.path().to_owned(), ..seat.clone() }, folder)
}

fn count(number: u32) -> Script {
    Script::new([Step::Count(number)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_sender_goes_on_from_the_beginning() {
    logs::keep();
    let net = Net::new(&["emptied-east", "emptied-west"]).with("worker", &["emptied-west"]);
    let probe = Probe::new();
    let west = net.start("emptied-west", &probe).await;
    let mut seat = net.seat("emptied-east").clone();
    let mut folders = Vec::new();
    for life in 0..3 {
        let east = seat.builder(&probe).start().await.unwrap();
        for number in 1..=20 {
            east.actor::<Worker>(&life.to_string()).send(count(number)).await.unwrap();
        }
        settled(&[&east, &west]).await;
        let log = read(&west.actor::<Worker>(&life.to_string())).await;
        assert_eq!((log.count, log.last, log.jumps), (20, 20, 0), "life {life}");
        assert_eq!(logs::lines("emptied-west", "peer has a new store").len(), life, "one line for each new store");
        stop([east]).await;
        let (empty, folder) = wiped(&seat);
        folders.push(folder);
        seat = empty;
    }
    stop([west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_receiver_gets_what_was_not_acknowledged_and_nothing_again() {
    logs::keep();
    let mut net = Net::new(&["bare-east", "bare-west"]).with("worker", &["bare-west"]);
    let probe = Probe::new();
    let mut east = net.start("bare-east", &probe).await;
    let mut first = 1;
    let (mut folders, mut last) = (Vec::new(), None);
    for life in 0..3 {
        // The first of these are owed while nobody is there.
        for number in first..first + 20 {
            drop(east.actor::<Worker>("one").send(count(number)).submit().await.unwrap());
        }
        let west = net.start("bare-west", &probe).await;
        for number in first + 20..first + 40 {
            east.actor::<Worker>("one").send(count(number)).await.unwrap();
        }
        settled(&[&east, &west]).await;
        let log = read(&west.actor::<Worker>("one")).await;
        let jumps = u64::from(life > 0);
        assert_eq!((log.count, log.last, log.jumps), (40, first + 39, jumps), "life {life}");
        assert_eq!(logs::lines("bare-east", "peer has a new store").len(), life, "one line for each new store");
        stop([west]).await;
        first += 40;
        let (empty, folder) = wiped(net.seat("bare-west"));
        last = Some(std::mem::replace(net.seat_mut("bare-west"), empty));
        folders.push(folder);
        // What is known of the stores survives the sender's restart.
        stop([east]).await;
        drop(probe.seen());
        let seat = net.seat("bare-east");
        east = seat.elsewhere(&seat.folder).builder(&probe).start().await.unwrap();
    }

    // The last store was only away: it goes on where it was.
    let west = last.unwrap().builder(&probe).start().await.unwrap();
    east.actor::<Worker>("one").send(count(first)).await.unwrap();
    settled(&[&east, &west]).await;
    let log = read(&west.actor::<Worker>("one")).await;
    assert_eq!((log.count, log.last, log.jumps), (41, first, 1));
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_node_does_not_notice() {
    let net = Net::new(&["east", "north", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let (north, west) = (net.start("north", &probe).await, net.start("west", &probe).await);
    let mut seat = net.seat("east").clone();
    let mut folders = Vec::new();
    for life in 1..=3 {
        let east = seat.builder(&probe).start().await.unwrap();
        linked(&[&east, &west]).await;
        let reply = north.actor::<Worker>("north").ask(Script::new([Step::Append(life)])).await.unwrap();
        assert_eq!(reply, (1..=life).collect::<Vec<_>>());
        stop([east]).await;
        let (empty, folder) = wiped(&seat);
        folders.push(folder);
        seat = empty;
    }
    stop([north, west]).await;
}
