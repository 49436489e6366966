//! What the access-log example cannot use: one line, exit code 2.

use std::fs;

use everpost::Node;

use crate::access_log::Scene;
use crate::log::Log;
use crate::program::{assert_refused, run};

fn scene() -> Scene {
    let mut log = Log::new(5);
    log.grow(50);
    Scene::new(&log.text)
}

#[test]
fn inputs_that_are_no_file() {
    let scene = scene();
    fs::remove_file(scene.input()).unwrap();
    assert_refused(&run(&mut scene.command()), "No such file");
    fs::create_dir(scene.input()).unwrap();
    assert_refused(&run(&mut scene.command()), "not a regular file");
}

#[test]
fn a_folder_that_is_a_file() {
    let scene = scene();
    fs::write(scene.data_dir(), "").unwrap();
    assert_refused(&run(&mut scene.command()), "data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use() {
    let scene = scene();
    let node = Node::builder("other", scene.data_dir()).start().await.unwrap();
    assert_refused(&run(&mut scene.command()), "in use");
    node.stop().await.unwrap();
    assert!(run(&mut scene.command()).status.success());
}

#[test]
fn another_file_than_before() {
    let scene = scene();
    assert!(run(&mut scene.command()).status.success());
    let before = fs::read(scene.input()).unwrap();
    scene.write(&before[..before.len() / 2]);
    assert_refused(&run(&mut scene.command()), "was read up to byte");
    scene.write(&[b"2", &before[1..]].concat());
    assert_refused(&run(&mut scene.command()), "is not the file");
    scene.write(&before);
    assert!(run(&mut scene.command()).status.success(), "a refusal changes nothing");
}

#[test]
fn a_store_of_garbage() {
    let scene = scene();
    fs::create_dir_all(scene.data_dir().join("journal")).unwrap();
    fs::write(scene.data_dir().join("journal").join("data.mdb"), [0x5a; 100_000]).unwrap();
    assert_refused(&run(&mut scene.command()), "journal");
}
