//! The files of recordings over REST: what is served, deleted and played.

use serde_json::json;

use super::common::{
    CAMERA, TestServer, config,
    fakes::{FakeFactory, OddBackend, Traits},
};

use super::recordings::*;

#[tokio::test]
async fn only_recordings_are_served_from_the_folder() {
    let bench = Bench::new(|_| {}).await;
    std::fs::create_dir_all(bench.file("folder.bag")).unwrap();
    let secret = bench.dir.path().join("secret.bag");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::write(bench.file("notes.txt"), "x").unwrap();
    std::fs::write(bench.file(".hidden.bag"), "x").unwrap();
    std::fs::write(bench.file("left.partial.db3"), "xyz").unwrap();
    std::os::unix::fs::symlink(&secret, bench.file("link.bag")).unwrap();
    let listed = bench.server.get("/api/recordings").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["name"], &listed[0]["bytes"]), (&json!("left.partial.db3"), &json!(3)));
    assert_eq!(listed[0]["complete"], false);
    for name in ["folder.bag", "notes.txt", "link.bag", "nobody.bag"] {
        bench.server.get(&format!("/api/recordings/{name}")).await.expect_error(404);
        bench.server.delete(&format!("/api/recordings/{name}")).await.expect_error(404);
    }
    for name in [".hidden.bag", "..%2Fsecret.bag", "%2Fetc%2Fpasswd", "a%00.bag", "%2e%2e"] {
        bench.server.get(&format!("/api/recordings/{name}")).await.expect_error(400);
        bench.server.delete(&format!("/api/recordings/{name}")).await.expect_error(400);
    }
    assert!(secret.exists() && bench.file("notes.txt").exists() && bench.file(".hidden.bag").exists());
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_file_of_any_name_is_listed_fetched_and_deleted() {
    let bench = Bench::new(|_| {}).await;
    std::fs::create_dir_all(bench.file("x").parent().unwrap()).unwrap();
    for (name, address, saved) in [
        ("walk (1).bag", "walk%20(1).bag", "walk%20%281%29.bag"),
        ("läufer 2.bag", "l%C3%A4ufer%202.bag", "l%C3%A4ufer%202.bag"),
        ("100%41 \"a\\b\"?#.db3", "100%2541%20%22a%5Cb%22%3F%23.db3", "100%2541%20%22a%5Cb%22%3F%23.db3"),
    ] {
        std::fs::write(bench.file(name), name).unwrap();
        let listed = bench.server.get("/api/recordings").await.json();
        assert_eq!((&listed[0]["name"], listed.as_array().unwrap().len()), (&json!(name), 1), "{listed}");
        for prefix in ["/api", "/api/v1"] {
            let fetched = bench.server.get(&format!("{prefix}/recordings/{address}")).await;
            assert_eq!((fetched.status, fetched.text().as_str()), (200, name));
            let disposition = fetched.header("content-disposition").unwrap();
            assert!(disposition.ends_with(&format!("filename*=UTF-8''{saved}")), "{disposition}");
        }
        // It gets as far as to what plays recordings, which is not there.
        let detail = bench.server.post_nothing(&format!("/api/recordings/{address}/open")).await.expect_error(503);
        assert!(detail.contains("get_librealsense.sh"), "{detail}");
        assert_eq!(bench.server.delete(&format!("/api/recordings/{address}")).await.json(), json!({"success": true}));
        assert!(!bench.file(name).exists());
    }
    // What is written here keeps to plain names.
    let detail = bench.server.post(&url("start"), &json!({"file_name": "walk (1)"})).await.expect_error(400);
    assert!(detail.contains("new recording"), "{detail}");
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_recording_that_is_played_is_neither_recorded_nor_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.recording.dir = dir.path().to_owned();
    std::fs::write(dir.path().join("walk.bag"), "x").unwrap();
    let (backend, _) = OddBackend::new(Traits { playback: Some(super::playback::walk()), ..Traits::default() });
    let factory = FakeFactory::new();
    let limits = realsense_webrtc::http::Limits::default();
    let server = TestServer::with_parts(config, limits, backend, Some(factory)).await;
    let info = server.get(&format!("/api/devices/{CAMERA}")).await.json();
    assert_eq!((&info["playback"], &info["can_record"]), (&json!(true), &json!(false)));
    assert!(server.post_nothing(&url("start")).await.expect_error(409).contains("played back"));
    assert!(server.delete("/api/recordings/walk.bag").await.expect_error(409).contains("being played"));
    assert_eq!(server.get("/api/recordings/walk.bag").await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_played_or_closed_is_refused() {
    let bench = Bench::new(|_| {}).await;
    std::fs::create_dir_all(bench.dir.path()).unwrap();
    std::fs::create_dir_all(bench.file("x").parent().unwrap()).unwrap();
    std::fs::write(bench.file("walk.bag"), "x").unwrap();
    // The test's cameras are simulated: nothing there plays recordings.
    let detail = bench.server.post_nothing("/api/recordings/walk.bag/open").await.expect_error(503);
    assert!(detail.contains("get_librealsense.sh"), "{detail}");
    bench.server.post_nothing("/api/recordings/nobody.bag/open").await.expect_error(404);
    bench.server.post_nothing("/api/recordings/..%2Fsecret.bag/open").await.expect_error(400);
    bench.server.post_nothing(&format!("/api/devices/{CAMERA}/playback/close")).await.expect_error(400);
    bench.server.post_nothing("/api/devices/1/playback/close").await.expect_error(404);
    assert_eq!(bench.server.get("/api/devices").await.json().as_array().unwrap().len(), 1);
    bench.server.shutdown().await;
}
