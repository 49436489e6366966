//! Certificates that are renewed while nodes run: what is in the files is used, without a restart.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use everpost::{Micros, Node};
use everpost_tests::cluster::Authority;
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::relay::{Faults, Relay};
use everpost_tests::wait::eventually;
use everpost_tests::worker::{Script, Step, Worker, read};
use everpost_transport::Identity;
use rcgen::date_time_ymd;

/// How long the first certificates are valid: long enough to start with them on a busy machine.
const VALID: Duration = Duration::from_secs(20);

/// Two nodes with a relay between them, which breaks the link when a test wants.
struct Scene {
    net: Net,
    names: [String; 2],
    relay: Relay,
    sent: u32,
}

impl Scene {
    async fn new(name: &str) -> Self {
        logs::keep();
        let names = ["east", "west"].map(|place| format!("{name}-{place}"));
        let [east, west] = names.each_ref().map(String::as_str);
        let mut net = Net::new(&[east, west]).with("worker", &[west]);
        let relay = Relay::start(net.seat(west).listen, 1, Faults::default()).await;
        net.route(east, west, relay.address());
        Self { net, names, relay, sent: 0 }
    }

    /// Every node gets these files in the place of its own.
    fn install(&self, name: &str, files: [PathBuf; 2]) {
        let [certificate, key, _] = &self.net.seat(name).identity;
        for (new, old) in files.iter().zip([certificate, key]) {
            // As tools do that renew certificates: the file is exchanged, not written to.
            let aside = old.with_extension("new");
            fs::copy(new, &aside).unwrap();
            fs::rename(&aside, old).unwrap();
        }
    }

    /// The link breaks, and is made anew.
    async fn link_anew(&mut self, nodes: &[&Node; 2]) {
        self.relay.cut();
        for (node, other) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
            eventually("the link is lost", || !node.is_linked_to(other.name())).await;
        }
        self.relay.heal();
        linked(nodes).await;
        self.sent += 1;
        nodes[0].actor::<Worker>("one").send(Script::new([Step::Count(self.sent)])).await.unwrap();
        settled(nodes).await;
        assert_eq!(read(&nodes[1].actor::<Worker>("one")).await.count, u64::from(self.sent));
    }
}

fn issue(authority: &Authority, name: &str, valid: Option<Duration>) -> [PathBuf; 3] {
    let since_1970 = Duration::from_micros(Micros::now().0);
    let files = authority.issue(name, |params| {
        if let Some(valid) = valid {
            params.not_after = date_time_ymd(1970, 1, 1) + since_1970 + valid;
        }
    });
    [files.certificate, files.key, files.authority]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_renewed_in_time_links_after_the_old_one_has_expired() {
    let mut scene = Scene::new("renewed").await;
    let names = scene.names.clone();
    for name in &names {
        scene.net.seat_mut(name).identity = issue(&scene.net.authority, name, Some(VALID));
    }
    let olds: Vec<Identity> = names
        .iter()
        .map(|name| {
            let [certificate, key, authority] = &scene.net.seat(name).identity;
            Identity::load(certificate, key, authority).unwrap()
        })
        .collect();
    let nodes = scene.net.start_all(&Probe::new()).await;
    let both = [&nodes[0], &nodes[1]];
    linked(&both).await;
    for name in &names {
        let [certificate, key, _] = issue(&scene.net.authority, name, None);
        scene.install(name, [certificate, key]);
    }
    for name in &names {
        logs::line(name, "certificate renewed", "").await;
    }
    for (old, name) in olds.iter().zip(&names) {
        eventually("it has expired", || old.check(name, Micros::now().into()).is_err()).await;
    }
    scene.link_anew(&both).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named_and_what_was_read_before_is_used_on() {
    let mut scene = Scene::new("spoiled").await;
    let nodes = scene.net.start_all(&Probe::new()).await;
    let both = [&nodes[0], &nodes[1]];
    linked(&both).await;
    let east = scene.names[0].clone();
    let [good, key, _] = scene.net.seat(&east).identity.clone();
    let [good_copy, key_copy] = [&good, &key].map(|path| {
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        copy
    });
    let garbage = good.with_extension("garbage");
    fs::write(&garbage, "garbage").unwrap();
    let [foreign, foreign_key, _] = issue(&scene.net.authority, "somebody", None);
    for (files, words) in
        [([garbage, key_copy.clone()], "holds no certificate"), ([foreign, foreign_key], "is for `somebody`")]
    {
        scene.install(&east, files);
        let line = logs::line(&east, "certificate not renewed", words).await;
        assert_eq!(line.level, tracing::Level::ERROR);
        scene.link_anew(&both).await;
        scene.install(&east, [good_copy.clone(), key_copy.clone()]);
        logs::line(&east, "certificate not renewed", "it is over").await;
    }
    scene.link_anew(&both).await;
    stop(nodes).await;
}

/// A cluster moves from one authority to another: for a while both are trusted.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_added_to_the_file_is_trusted_without_a_restart() {
    let mut scene = Scene::new("widened").await;
    let [east, west] = scene.names.clone();
    let next = Authority::new();
    let [certificate, key, next_authority] = issue(&next, &east, None);
    let bundle =
        [scene.net.seat(&east).identity[2].clone(), next_authority].map(|path| fs::read_to_string(path).unwrap());
    let both_authorities = certificate.with_extension("both");
    fs::write(&both_authorities, bundle.concat()).unwrap();
    scene.net.seat_mut(&east).identity = [certificate, key, both_authorities.clone()];
    let nodes = scene.net.start_all(&Probe::new()).await;
    logs::line(&west, "connection refused", "the authority of the cluster did not sign it").await;
    fs::copy(&both_authorities, &scene.net.seat(&west).identity[2]).unwrap();
    logs::line(&west, "certificate renewed", "").await;
    let both = [&nodes[0], &nodes[1]];
    linked(&both).await;
    scene.link_anew(&both).await;
    stop(nodes).await;
}
