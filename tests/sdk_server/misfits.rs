//! What is not as it should be from the start: files that are no recordings, libraries that do not fit. Each is told in
//! words, and the rest is served.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::json;

use crate::{
    bench::{SOFTWARE, ask, config, get, join},
    recording, sdk,
    server::{DEVICE, LIMIT, Program, Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_recording_is_listed_with_the_reason() {
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
    let files: Vec<_> = bad.into_iter().chain([&crashes, &good]).map(|file| file.display().to_string()).collect();
    let server = Server::start(&format!("{}recordings = {files:?}\n", config(folder.path())), &[]);
    let log = server.program.log();
    let played = format!("{DEVICE}-rec");
    let listed = server.client.devices().await.unwrap();
    for file in bad {
        let name = file.file_name().unwrap().to_str().unwrap();
        let told =
            log.lines().any(|line| line.contains("ERROR") && line.contains(name) && line.contains("cannot be played"));
        assert!(told, "{name} is told of:\n{log}");
        assert!(listed.iter().any(|device| device == name), "{name}: {listed:?}");
        let device = get(&server, &format!("/devices/{name}")).await;
        assert!(device["problem"].as_str().unwrap().contains("cannot be played"), "{device}");
        let refused = ask(&server, Method::GET, &format!("/devices/{name}/sensors/"), None).await;
        assert_eq!(refused.status, 503, "{refused}");
        assert!(refused.body["detail"].as_str().unwrap().contains("cannot be played"), "{refused}");
    }
    assert!(log.contains("crashes.bag is compressed with bz2"), "{log}");
    assert!(listed.contains(&played) && listed.len() == bad.len() + 2, "{listed:?}");
    let health = get(&server, "/health").await;
    assert_eq!((&health["status"], &health["cameras"]), (&json!("ok"), &json!(1)));
    let viewer = join(&server, &played, &["color", "depth"]).await;
    viewer.receives(10, LIMIT).await.unwrap();

    // Once it is whole it is played, without a start.
    std::fs::copy(&good, &cut).unwrap();
    let second = format!("{DEVICE}-rec-2");
    let begun = Instant::now();
    while !server.client.devices().await.unwrap().contains(&second) {
        assert!(begun.elapsed() < LIMIT, "the one that was cut off is played");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // A person who asks for one on the command line waits for it.
    for file in [&text, &crashes] {
        let words = refused(&config(folder.path()), &["--recording", file.to_str().unwrap()]);
        assert!(words.contains("error: --recording: ") && words.contains(file.to_str().unwrap()), "{words}");
    }
}

/// What a start says that must end with exit code 1.
fn refused(config: &str, args: &[&str]) -> String {
    let mut program = Program::start(config, args);
    let (status, _) = program.ends(LIMIT).expect("the start ends");
    let log = program.log();
    assert_eq!(status.code(), Some(1), "{log}");
    log
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
        let config = format!("[realsense]\nlibrary = {:?}\n", library.display().to_string());
        for args in [&[][..], &["--sim-cameras", "1"]] {
            let log = refused(&config, args);
            let told = ["error: In the configuration, realsense.library: ", words, library.to_str().unwrap()];
            assert!(told.iter().all(|words| log.contains(words)), "{log}");
        }
    }
}

#[test]
fn a_folder_is_enough_to_name_the_library() {
    let library = sdk::library();
    let lib = library.parent().unwrap();
    for folder in [lib, lib.parent().unwrap()] {
        let config = format!("[realsense]\nenabled = false\nlibrary = {:?}\n", folder.display().to_string());
        let server = Server::start(&config, &["--software-device"]);
        server.program.says("librealsense loaded", LIMIT).expect("librealsense loaded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_library_it_is_told_how_to_get_it() {
    // A home without anything that the project's script has fetched.
    let home = tempfile::tempdir().unwrap();
    let bare = |args: &[&str]| {
        let variables = [("HOME", home.path().to_str().unwrap()), ("XDG_CACHE_HOME", ""), ("LD_LIBRARY_PATH", "")];
        Program::start_with(&variables, "[realsense]\n", args)
    };
    let server = Server::listening(bare(&[]));
    let health = ask(&server, Method::GET, "/health", None).await;
    assert_eq!((health.status, &health.body["cameras"]), (503, &json!(0)), "{health}");
    assert!(health.body["detail"].as_str().unwrap().contains("get_librealsense.sh"), "{health}");
    assert_eq!(get(&server, "/devices").await, json!([]), "nothing stands in for a camera");
    for flag in [&["--software-device"][..], &["--recording", "tests/data/depth.bag"]] {
        let mut program = bare(flag);
        let (status, _) = program.ends(LIMIT).expect("the start ends");
        let log = program.log();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(&format!("error: {} needs librealsense", flag[0])), "{log}");
    }
    let server = Server::listening(bare(&["--sim-cameras", "auto"]));
    let health = get(&server, "/health").await;
    assert_eq!((&health["status"], &health["cameras"]), (&json!("ok"), &json!(1)));
    server.program.says("SIMULATED", LIMIT).expect("SIMULATED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_camera_it_waits_for_one() {
    let folder = tempfile::tempdir().unwrap();
    // Real ones are looked for.
    let server = Server::start(&config(folder.path()).replace("enabled = false", "enabled = true"), &[]);
    let health = get(&server, "/health").await;
    assert_eq!((&health["status"], &health["cameras"]), (&json!("ok"), &json!(0)), "{health}");
    server.program.says("no camera was found", LIMIT).expect("no camera was found");
    assert_eq!(get(&server, "/devices").await, json!([]));
}

#[test]
fn what_a_configuration_names_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let preset = folder.path().join("preset.json");
    let config = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(&preset, text).unwrap();
        }
        format!("{}[realsense.presets]\n\"888\" = {:?}\n", config(folder.path()), preset.display().to_string())
    };
    let words = refused(&config(None), &[]);
    assert!(words.contains("realsense.presets: the preset of camera 888") && words.contains("preset.json"), "{words}");
    let words = refused(&config(Some("{ \"a\": ")), &[]);
    assert!(words.contains("it is no JSON"), "{words}");
    let server = Server::start(&config(Some("{}")), &["--software-device"]);
    let told = format!("realsense.presets names camera 888, which is not there now (there are {SOFTWARE})");
    assert!(server.program.says(&told, LIMIT).is_some(), "{}", server.program.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_no_camera_offers_is_told_of() {
    let config = "[streams.color]\nwidth = 700\nheight = 500\nframerate = 20\n";
    let server = Server::start(config, &["--sim-cameras", "1"]);
    let told = server.program.says("streams.color asks for", LIMIT).expect("a warning");
    let log = server.program.log();
    assert!(told.contains("WARN") && told.contains("700x500") && told.contains("640x480"), "{told}");
    assert!(!log.contains("streams.depth asks for"), "what is offered needs no word: {log}");
}
