//! A peer that belongs to the cluster and does not keep to the protocol is thrown out with one clear line in the log,
//! and nobody else notices.

use crate::strangers::Scene;

/// A puppet that was let in says this; it is thrown out with these words.
async fn check_words(name: &str, on_data: bool, bytes: &[u8], words: &str) {
    let mut scene = Scene::new(name).await;
    let puppet = scene.puppet();
    let (west, address) = scene.west();
    let mut conversation = puppet.converse(west, address).await;
    if on_data {
        conversation.send_bytes(bytes).await;
    } else {
        conversation.say_bytes(bytes).await;
    }
    let why = conversation.refused().await;
    assert!(why.contains(words), "{why}");
    let line = scene.line("peer refused", words).await;
    assert_eq!(line.field("peer"), scene.names[1]);
    scene.nobody_else_notices().await;
    // It may come again, and behave.
    let (west, address) = scene.west();
    drop(puppet.converse(west, address).await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_an_authenticated_peer() {
    let garbage = b"GET / HTTP/1.1\r\n\r\n";
    check_words("babbling", false, garbage, "a frame of the unknown kind 47").await;
    check_words("spraying", true, garbage, "a frame of the unknown kind 47").await;
    check_words("mumbling", false, &[0, 0, 0, 3, 4, 0xff, 0xff], "a note cannot be read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_frames_of_an_authenticated_peer() {
    check_words("bloated", false, &[0xff, 0xff, 0xff, 0xff, 1], "a frame of 4294967294 bytes").await;
    check_words("swollen", true, &[0xff, 0xff, 0xff, 0xff, 16], "a frame of 4294967294 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_where_they_do_not_belong() {
    check_words("confused", false, &[0, 0, 0, 1, 17], "on a control stream").await;
    check_words("mistaken", true, &[0, 0, 0, 1, 4], "on a data stream").await;
}
