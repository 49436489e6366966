//! The data folder is removed, moved or replaced while a node runs: the node must not go on as if nothing had happened.

use std::fs;
use std::path::Path;
use std::process::Command;

use everpost::SendError;
use everpost_tests::child::Child;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Event, Setup};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};

/// Does `harm` to the folder of a running node; returns how many sends were acknowledged after it.
async fn acknowledged_after(name: &str, harm: impl FnOnce(&Path)) -> usize {
    let parent = everpost_tests::folder();
    let folder = parent.path().join("data");
    let probe = Probe::new();
    let node = workers(&folder, &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    soon("it is sent", actor.send(Script::new([Step::Append(1)])).into_future()).await.unwrap();
    harm(&folder);
    let mut acknowledged = 0;
    let failed = loop {
        match soon("a send ends", actor.send(Script::new([Step::Append(2)])).into_future()).await {
            Ok(_) => acknowledged += 1,
            Err(SendError::NotAccepted { reason, .. }) => break reason.to_string(),
            Err(error) => break error.to_string(),
        }
        assert!(acknowledged < 1_000_000, "{name}: the node goes on");
    };
    let failure = soon(name, node.failed()).await.to_string();
    for part in ["data folder", "what was acknowledged", "/proc/", "restore"] {
        assert!(failure.contains(part), "{name}: `{failure}` does not say `{part}`; the send said `{failed}`");
    }
    let stopped = soon("it stops", node.stop()).await;
    assert!(stopped.is_err(), "{name}: the stop says that all is well");
    acknowledged
}

fn copy_to(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

fn replace(file: &Path) {
    let copy = file.with_extension("copy");
    fs::copy(file, &copy).unwrap();
    fs::rename(copy, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_removed_acknowledges_nothing_more() {
    assert_eq!(acknowledged_after("removed", |folder| fs::remove_dir_all(folder).unwrap()).await, 0);
}

/// The files were closed with the store, and nothing was left of what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_can_be_copied_out_of_the_process_whose_folder_was_removed() {
    let parent = everpost_tests::folder();
    let (removed, copied) = (parent.path().join("removed"), parent.path().join("copied"));
    let node = workers(&removed, &Probe::new()).start().await.unwrap();
    for number in 0..20 {
        node.actor::<Worker>("one").send(Script::new([Step::Append(number)])).await.unwrap();
    }
    fs::remove_dir_all(&removed).unwrap();
    soon("it is found out", node.failed()).await;
    soon("it stops", node.stop()).await.unwrap_err();
    drop(node);
    for half in ["journal", "tables"] {
        fs::create_dir_all(copied.join(half)).unwrap();
        let name = format!("{} (deleted)", removed.join(half).join("data.mdb").display());
        let mut open = fs::read_dir("/proc/self/fd").unwrap().map(|file| file.unwrap().path());
        let file = open.find(|file| fs::read_link(file).is_ok_and(|path| path == Path::new(&name))).unwrap();
        fs::copy(file, copied.join(half).join("data.mdb")).unwrap();
    }
    let node = workers(&copied, &Probe::new()).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let expected: Vec<u32> = (0..20).collect();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, expected);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_moved_or_replaced_acknowledges_nothing_more() {
    let moved = |folder: &Path| fs::rename(folder, folder.with_extension("away")).unwrap();
    assert_eq!(acknowledged_after("moved", moved).await, 0);
    let replaced = |folder: &Path| {
        let away = folder.with_extension("away");
        fs::rename(folder, &away).unwrap();
        copy_to(&away, folder);
    };
    assert_eq!(acknowledged_after("replaced", replaced).await, 0);
    let journal = |folder: &Path| replace(&folder.join("journal/data.mdb"));
    assert_eq!(acknowledged_after("journal replaced", journal).await, 0);
}

/// What is not the journal is looked at once a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_file_that_is_removed_or_replaced_is_found_out() {
    for file in ["lock", "slots", "journal/lock.mdb", "tables/data.mdb", "tables/lock.mdb"] {
        acknowledged_after(file, |folder| fs::remove_file(folder.join(file)).unwrap()).await;
        acknowledged_after(file, |folder| replace(&folder.join(file))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_elsewhere_is_found_out() {
    let parent = everpost_tests::folder();
    let (link, probe) = (parent.path().join("link"), Probe::new());
    for name in ["first", "second"] {
        fs::create_dir(parent.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(parent.path().join("first"), &link).unwrap();
    let node = workers(&link, &probe).start().await.unwrap();
    node.actor::<Worker>("one").send(Script::new([])).await.unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(parent.path().join("second"), &link).unwrap();
    node.actor::<Worker>("one").send(Script::new([])).await.unwrap_err();
    soon("it stops", node.stop()).await.unwrap_err();
}

/// Needs root.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_is_mounted_over_the_folder_is_found_out() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(folder.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped, needs root");
        return node.stop().await.unwrap();
    }
    let sent = node.actor::<Worker>("one").send(Script::new([])).await;
    let _ = Command::new("umount").arg("--lazy").arg(folder.path()).output();
    sent.unwrap_err();
    soon("it stops", node.stop()).await.unwrap_err();
}

/// An idle node finds it out too, and another process may have the path then.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_at_the_same_path_ends_the_node() {
    let parent = everpost_tests::folder();
    let (folder, probe) = (parent.path().join("data"), Probe::new());
    let node = workers(&folder, &probe).start().await.unwrap();
    node.actor::<Worker>("one").ask(Script::new([Step::Append(1)])).await.unwrap();
    fs::rename(&folder, parent.path().join("away")).unwrap();
    let mut other = Child::up(&Setup::alone(&folder));
    let failed = soon("it is found out", node.failed()).await;
    let said = failed.to_string();
    assert!(said.contains("data folder"), "{said}");
    eventually("nothing is taken in", || node.actor::<Worker>("one").send(Script::new([])).try_submit().is_err()).await;
    other.tell(&everpost_tests::protocol::Command::Stop);
    other.wait_for("the other stops", |event| *event == Event::Stopped);
    soon("it stops", node.stop()).await.unwrap_err();
    // Where it was moved to, everything is there.
    let node = workers(&parent.path().join("away"), &probe).start().await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    node.stop().await.unwrap();
}
