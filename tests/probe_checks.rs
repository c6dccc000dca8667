//! The probe's checks against a small server of the contract that lives in the test: they pass on a good one, and a server
//! that is wrong in one way is found out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/sender.rs"]
mod sender;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use clap::Parser;
use realsense_webrtc::probe::{self, ProbeArgs};
use sender::Sender;
use serde_json::{Value, json};

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// A session that ends keeps its references.
    LeaksReferences,
    /// When a session ends, the others get no more frames.
    FreezesOthers,
    /// A session that ended is still listed.
    ListsTheDead,
}

struct Session {
    sender: Sender,
    streams: Vec<String>,
}

struct Contract {
    wrong: Wrong,
    sessions: Mutex<BTreeMap<String, Session>>,
    leaked: Mutex<Vec<Session>>,
    made: Mutex<usize>,
}

type Shared = State<Arc<Contract>>;
type Answer = (StatusCode, Json<Value>);

fn said(status: u16, detail: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), Json(json!({ "detail": detail })))
}

async fn offer(State(contract): Shared, Json(body): Json<Value>) -> Answer {
    let streams: Vec<String> = serde_json::from_value(body["stream_types"].clone()).unwrap();
    let sender = Sender::start(streams.len());
    let sdp = sender.offer.clone();
    let mut made = contract.made.lock().unwrap();
    *made += 1;
    let id = format!("session-{made}");
    contract.sessions.lock().unwrap().insert(id.clone(), Session { sender, streams });
    (StatusCode::OK, Json(json!({ "session_id": id, "sdp": sdp, "type": "offer" })))
}

async fn answer(State(contract): Shared, Json(body): Json<Value>) -> Answer {
    let sessions = contract.sessions.lock().unwrap();
    let Some(session) = sessions.get(body["session_id"].as_str().unwrap()) else { return said(404, "unknown") };
    session.sender.answer(body["sdp"].as_str().unwrap().into());
    (StatusCode::OK, Json(json!({ "success": true })))
}

async fn end(State(contract): Shared, Path(id): Path<String>) -> Json<Value> {
    let ended = contract.sessions.lock().unwrap().remove(&id);
    let known = ended.is_some();
    match contract.wrong {
        Wrong::Nothing => {}
        Wrong::LeaksReferences => contract.leaked.lock().unwrap().extend(ended),
        Wrong::FreezesOthers => {
            for session in contract.sessions.lock().unwrap().values() {
                session.sender.counts.frozen.store(true, Ordering::SeqCst);
            }
        }
        Wrong::ListsTheDead => drop(ended.map(|session| contract.sessions.lock().unwrap().insert(id, session))),
    }
    Json(json!({ "success": known }))
}

async fn sessions(State(contract): Shared) -> Json<Value> {
    let sessions = contract.sessions.lock().unwrap();
    let status = |(id, session): (&String, &Session)| {
        json!({
            "session_id": id, "connected": true, "streaming": true, "stream_types": session.streams
        })
    };
    Json(sessions.iter().map(status).collect())
}

async fn references(State(contract): Shared) -> Json<Value> {
    let (sessions, leaked) = (contract.sessions.lock().unwrap(), contract.leaked.lock().unwrap());
    let mut counts = BTreeMap::<&str, u64>::new();
    for stream in sessions.values().chain(leaked.iter()).flat_map(|session| &session.streams) {
        *counts.entry(stream).or_default() += 1;
    }
    Json(json!({ "stream_references": { "1": counts }, "device_stream_configs": {} }))
}

async fn serve(wrong: Wrong) -> String {
    let contract = Contract { wrong, sessions: Mutex::default(), leaked: Mutex::default(), made: Mutex::default() };
    let api = Router::new()
        .route("/devices/", get(async || Json(json!([{ "device_id": "1" }]))))
        .route("/webrtc/offer", post(offer))
        .route("/webrtc/answer", post(answer))
        .route("/webrtc/ice-candidates", post(async || Json(json!({ "success": true }))))
        .route("/webrtc/sessions", get(sessions))
        .route("/webrtc/sessions/{id}", axum::routing::delete(end))
        .route("/webrtc/stream-references", get(references))
        .with_state(Arc::new(contract));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().nest("/api", api)).await });
    url
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    probe: ProbeArgs,
}

async fn passes(wrong: Wrong, args: &[&str]) -> bool {
    let url = serve(wrong).await;
    let server = ["--url", url.as_str()];
    let line = ["probe"].iter().chain(args).chain(&server).copied();
    probe::run(Cli::try_parse_from(line).unwrap().probe).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_server_passes() {
    assert!(passes(Wrong::Nothing, &["--streams", "color,depth", "--secs", "0.3"]).await);
    assert!(passes(Wrong::Nothing, &["multi-client"]).await);
    assert!(passes(Wrong::Nothing, &["stream-types", "--streams", "color,depth"]).await);
    let load = ["load", "--viewers", "3", "--secs", "0.5", "--join-interval-ms", "0", "--json"];
    assert!(passes(Wrong::Nothing, &load).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_references_are_found() {
    assert!(!passes(Wrong::LeaksReferences, &["stream-types", "--streams", "color"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_viewers_are_found() {
    assert!(!passes(Wrong::FreezesOthers, &["multi-client", "--clients", "2"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_do_not_end_are_found() {
    assert!(!passes(Wrong::ListsTheDead, &["multi-client", "--clients", "2"]).await);
}
