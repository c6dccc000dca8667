//! The real program where the system gives it little: out of file descriptors or threads it refuses offers with words, and
//! never dies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;
use server::{DEVICE, LIMIT, SMALL, Server};

/// File descriptors of the program: enough for a few sessions.
const FDS: u32 = 256;
/// Threads of the program: enough for a few sessions.
const THREADS: u32 = 128;
/// Idle connections of somebody without a token that are tried: more than there are descriptors.
const IDLE: usize = 300;
/// How long each of them waits to be taken in. Where the system's own queue is full it is not, which does no harm.
const CONNECT: Duration = Duration::from_millis(20);

/// A connection that stays open between requests.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect((server.client.host(), server.client.port())).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Head and body of the answer.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> (String, Value) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n\
             {body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "the connection broke off after {head:?}");
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).unwrap();
        (head, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn offer(&mut self) -> (String, Value) {
        let body = format!(r#"{{"device_id": "{DEVICE}", "stream_types": ["color"]}}"#);
        self.ask("POST", "/api/webrtc/offer", &body)
    }
}

#[test]
fn idle_connections_and_offers_use_up_no_descriptor_that_it_needs() {
    let server = Server::start_with_fds(SMALL, &[], FDS);
    assert!(server.program.says("Not all sessions of sessions.limit fit on this machine", LIMIT).is_some());
    let mut kept = Kept::new(&server);
    assert!(kept.ask("GET", "/api/health", "").0.starts_with("HTTP/1.1 200"));
    let address = kept.0.get_ref().peer_addr().unwrap();
    let idle: Vec<_> = (0..IDLE).filter_map(|_| TcpStream::connect_timeout(&address, CONNECT).ok()).collect();
    assert!(idle.len() > 32, "more than have a place: {}", idle.len());
    let (sessions, words) = offers_until_refused(&mut kept);
    assert!((2..25).contains(&sessions.len()), "{} sessions in {FDS} descriptors", sessions.len());
    assert!(words.contains("file descriptors") && words.contains("LimitNOFILE"), "{words}");
    // Room comes back with the sessions that go.
    drop(idle);
    room_comes_back(&mut kept, &sessions);
    ends_well(server);
}

#[test]
fn offers_use_up_no_thread_that_it_needs() {
    let server = Server::start_with_threads(SMALL, &[], THREADS);
    assert!(server.program.says("Not all sessions of sessions.limit fit on this machine", LIMIT).is_some());
    let mut kept = Kept::new(&server);
    let (sessions, words) = offers_until_refused(&mut kept);
    assert!((1..25).contains(&sessions.len()), "{} sessions in {THREADS} threads", sessions.len());
    assert!(words.contains("threads") && words.contains("TasksMax"), "{words}");
    room_comes_back(&mut kept, &sessions);
    ends_well(server);
}

/// Asks for sessions: the first ones fit, the rest is refused, each in time. Gives the sessions and a refusal's words.
fn offers_until_refused(kept: &mut Kept) -> (Vec<String>, String) {
    let mut sessions = Vec::new();
    let mut words = None;
    for _ in 0..40 {
        let (head, body) = kept.offer();
        if head.starts_with("HTTP/1.1 200") {
            assert_eq!(words, None, "what did not fit does not fit now: {body}");
            sessions.push(body["session_id"].as_str().unwrap().to_owned());
        } else {
            assert!(head.starts_with("HTTP/1.1 503") && head.to_ascii_lowercase().contains("retry-after"), "{head}");
            words = Some(body["detail"].as_str().unwrap().to_owned());
        }
    }
    (sessions, words.expect("one was refused"))
}

/// Room comes back with the sessions that go.
fn room_comes_back(kept: &mut Kept, sessions: &[String]) {
    for session in sessions {
        let (head, _) = kept.ask("DELETE", &format!("/api/webrtc/sessions/{session}"), "");
        assert!(head.starts_with("HTTP/1.1 2"), "{head}");
    }
    let began = std::time::Instant::now();
    while !kept.offer().0.starts_with("HTTP/1.1 200") {
        assert!(began.elapsed() < LIMIT, "no room although nobody is there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(kept.ask("GET", "/api/health", "").0.starts_with("HTTP/1.1 200"));
}

fn ends_well(mut server: Server) {
    let (status, _) = server.program.terminate(LIMIT).expect("it ends");
    assert!(status.success(), "{status}");
}
