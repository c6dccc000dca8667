//! What is not as it should be from the start: files that are no recordings, libraries that do not fit. Each is told in
//! words, and the rest is served.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use http::Method;
use serde_json::json;

use crate::{
    bench::{ask, config, get, join},
    recording, sdk,
    server::{DEVICE, LIMIT, Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_recording_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let good = {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || recording::record(sdk::sdk(), &folder, 30)).await.unwrap()
    };
    let extension = good.extension().unwrap().to_str().unwrap();
    let text = folder.path().join(format!("text.{extension}"));
    std::fs::write(&text, "this is no recording\n".repeat(1000)).unwrap();
    let empty = folder.path().join(format!("empty.{extension}"));
    std::fs::write(&empty, "").unwrap();
    let cut = folder.path().join(format!("cut.{extension}"));
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let other = folder.path().join("picture.png");
    std::fs::write(&other, b"\x89PNG\r\n\x1a\n").unwrap();

    // What librealsense itself would not survive.
    let crashes = folder.path().join("crashes.bag");
    let mut bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/depth.bag")).unwrap();
    let told = bytes.windows(15).position(|window| window == b"compression=lz4").unwrap();
    bytes[told + 12..told + 15].copy_from_slice(b"bz2");
    std::fs::write(&crashes, bytes).unwrap();

    let no_bag = folder.path().join("first-line.bag");
    std::fs::write(&no_bag, [b"#ROS".as_slice(), &[b'A'; 800], b" V2.0\n", &[0; 2000]].concat()).unwrap();

    let bad = [&text, &empty, &cut, &other, &no_bag];
    let mut args = Vec::new();
    for file in bad.into_iter().chain([&crashes, &good]) {
        args.extend(["--recording", file.to_str().unwrap()]);
    }
    let server = Server::start(&config(folder.path()), &args);
    let log = server.program.log();
    for file in bad {
        let name = file.file_name().unwrap().to_str().unwrap();
        let told =
            log.lines().any(|line| line.contains("ERROR") && line.contains(name) && line.contains("cannot be played"));
        assert!(told, "{name} is told of:\n{log}");
    }
    assert!(log.contains("crashes.bag is compressed with bz2"), "{log}");
    let played = format!("{DEVICE}-rec");
    assert_eq!(server.client.devices().await.unwrap(), [played.as_str()]);
    let viewer = join(&server, &played, &["color", "depth"]).await;
    viewer.receives(10, LIMIT).await.unwrap();
}

/// A server whose configuration names this library.
fn with_library(library: &Path, args: &[&str]) -> Server {
    Server::start(&format!("[realsense]\nlibrary = {:?}\n", library.display().to_string()), args)
}

/// A library with librealsense's first function and a version that nobody can use.
fn old_library(folder: &Path) -> PathBuf {
    let source = folder.join("old.c");
    std::fs::write(&source, "int rs2_get_api_version(void **error) { (void)error; return 25501; }\n").unwrap();
    let library = folder.join("librealsense2-old.so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.expect("a C compiler, which Rust links with").success());
    library
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_that_does_not_fit_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("librealsense2.so");
    std::fs::write(&text, "this is no library\n").unwrap();
    let missing = folder.path().join("nowhere/librealsense2.so");
    let old = old_library(folder.path());
    for (library, words) in
        [(&text, "cannot load"), (&missing, "cannot load"), (&old, "it is version 2.55.1; 2.56 or newer is needed")]
    {
        let server = with_library(library, &[]);
        let health = ask(&server, Method::GET, "/health", None).await;
        assert_eq!((health.status, &health.body["status"]), (503, &json!("degraded")), "{health}");
        let detail = health.body["detail"].as_str().unwrap();
        assert!(detail.contains(words) && detail.contains(library.to_str().unwrap()), "{detail}");
        assert_eq!(health.body["sdk_version"], "none");
        assert_eq!(get(&server, "/devices").await, json!([]), "nothing stands in for what was asked for");
        assert!(server.program.log().contains(words), "the log says it too");
    }
    // With simulated cameras it serves those.
    let server = with_library(&old, &["--sim-cameras", "1"]);
    assert_eq!(get(&server, "/health").await["status"], "ok");
    let viewer = join(&server, DEVICE, &["color"]).await;
    viewer.receives(5, LIMIT).await.unwrap();
    let refused = ask(&server, Method::POST, &format!("/devices/{DEVICE}/recording/start"), Some(&json!({}))).await;
    assert_eq!(refused.status, 503, "nothing can be recorded without it: {refused}");
}
