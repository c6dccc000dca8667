//! `probe churn`: one viewer watches while others join and leave, and the server is afterwards what it was before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinSet;

use super::{
    client::Client,
    process::{self, Sample},
    receiver::Options,
    report::Report,
    viewer::Viewer,
};
use crate::error::Result;

/// The watching viewer must not wait longer than this for a frame.
const MAX_GAP: Duration = Duration::from_millis(200);

/// Resident memory may differ by this much after warm-up, MiB.
const RSS_TOLERANCE_MIB: f64 = 10.0;

/// How long the server may take to free what the last sessions held: teardown and the memory trim.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// How long one session may take to its first frame.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(20);

/// What to churn.
#[derive(Debug, Clone)]
pub struct Churn {
    /// Sessions that join and leave.
    pub joins: usize,
    /// How many at a time.
    pub concurrency: usize,
    /// Sessions before the measurement, so that caches and pools are filled.
    pub warm_up: usize,
    /// Streams of the sessions and of the viewer.
    pub streams: Vec<String>,
    /// How the sessions leave.
    pub leave: Leave,
    /// The server's process, if it is local.
    pub pid: Option<u32>,
}

/// How sessions leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Leave {
    /// DELETE over HTTP.
    Delete,
    /// DTLS good-bye, as when a page closes its connection.
    Goodbye,
    /// Both in turn.
    Mixed,
}

/// Churns and reports; true when the viewer missed nothing and nothing was left behind.
///
/// # Errors
/// What the server refused to the watching viewer.
pub async fn run(client: &Client, device: &str, churn: &Churn, mut report: Report) -> Result<bool> {
    let viewer = Viewer::join(client, device, &churn.streams, Options::default()).await?;
    let seen = viewer.receives(1, FIRST_FRAME_LIMIT).await;
    report.step("the viewer sees a picture", seen.map(|_| String::new()));
    let warm_up = cycle(client, device, churn, churn.warm_up).await;
    report.step("warm-up", warm_up.map(|()| format!("{} sessions", churn.warm_up)));
    let sessions = client.sessions().await.map(|sessions| sessions.len());
    settle_sessions(client, &viewer.session).await;
    let before = match churn.pid {
        Some(pid) => steady(pid).await,
        None => None,
    };

    viewer.receiver.take_longest_gap();
    let missed_before = missed(&viewer);
    let started = Instant::now();
    let outcome = cycle(client, device, churn, churn.joins).await;
    let secs = started.elapsed().as_secs_f64();
    let gap = viewer.receiver.take_longest_gap();
    let missed = missed(&viewer) - missed_before;
    let rate = churn.joins as f64 / secs;
    report.step("sessions join, see a picture and leave", outcome.map(|()| format!("{} in {secs:.1} s", churn.joins)));
    let gap_ms = gap.as_millis();
    let words = format!("longest gap {gap_ms} ms (limit {}), {missed} frames missed", MAX_GAP.as_millis());
    report.step("the viewer goes on", if gap <= MAX_GAP { Ok(words) } else { Err(words) });

    settle_sessions(client, &viewer.session).await;
    let left = client.sessions().await.map(|sessions| sessions.len());
    report.put("sessions_left", json!(left.ok()));
    report.put("sessions_before", json!(sessions.ok()));
    if let (Some(pid), Some(before)) = (churn.pid, before) {
        let (after, outcome) = compare(pid, &before).await;
        report.step("threads, fds and memory are back", outcome);
        report.put("before", json!({ "threads": before.threads, "fds": before.fds, "rss_mib": before.rss_mib }));
        report.put("after", json!(after.map(|after| before.until(&after))));
    } else {
        report.say("  the server's process is not known (--pid): threads, fds and memory were not compared");
    }
    report.put("joins", churn.joins);
    report.put("secs", secs);
    report.put("joins_per_second", rate);
    report.put("longest_gap_ms", gap.as_secs_f64() * 1e3);
    report.put("missed", missed);
    // The session is over either way.
    let _ = viewer.leave(client).await;
    Ok(report.finish())
}

fn missed(viewer: &Viewer) -> u64 {
    viewer.receiver.stats().streams.iter().map(|stream| stream.missed + stream.broken).sum()
}

/// Runs `count` sessions through their whole life, a few at a time; the first failure is told.
async fn cycle(client: &Client, device: &str, churn: &Churn, count: usize) -> std::result::Result<(), String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..churn.concurrency.max(1) {
        let (client, device, churn, next) = (client.clone(), device.to_owned(), churn.clone(), next.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                one_session(&client, &device, &churn, number).await?;
            }
        });
    }
    let mut outcome = Ok(());
    while let Some(worker) = workers.join_next().await {
        let worker = worker.unwrap_or_else(|error| Err(error.to_string()));
        outcome = outcome.and(worker);
    }
    outcome
}

async fn one_session(client: &Client, device: &str, churn: &Churn, number: usize) -> std::result::Result<(), String> {
    let options = Options { mdns: true, ..Options::default() };
    let joined = Viewer::join(client, device, &churn.streams, options).await;
    let viewer = joined.map_err(|error| error.public().to_owned())?;
    let seen = viewer.receives(1, FIRST_FRAME_LIMIT).await;
    let goodbye = match churn.leave {
        Leave::Delete => false,
        Leave::Goodbye => true,
        Leave::Mixed => number % 2 == 1,
    };
    if goodbye {
        viewer.receiver.close().await;
    } else {
        viewer.leave(client).await.map_err(|error| error.public().to_owned())?;
    }
    seen.map(|_| ())
}

/// Waits until only the watching viewer's session is left, or the time is up: then the comparison will tell.
async fn settle_sessions(client: &Client, own: &str) {
    let end = Instant::now() + SETTLE_LIMIT;
    while Instant::now() < end {
        match client.sessions().await {
            Ok(sessions) if sessions.iter().all(|session| session.session == own) => return,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Samples until threads and fds have stood still for a second.
async fn steady(pid: u32) -> Option<Sample> {
    const STILL: usize = 5;
    let mut last = process::sample(pid)?;
    let mut still = 0;
    let end = Instant::now() + SETTLE_LIMIT;
    while still < STILL && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sample = process::sample(pid)?;
        still = if (sample.threads, sample.fds) == (last.threads, last.fds) { still + 1 } else { 0 };
        last = sample;
    }
    Some(last)
}

async fn compare(pid: u32, before: &Sample) -> (Option<Sample>, std::result::Result<String, String>) {
    let end = Instant::now() + SETTLE_LIMIT;
    loop {
        let Some(after) = process::sample(pid) else {
            return (None, Err("the server's process is gone".into()));
        };
        let words = format!(
            "threads {} -> {}, fds {} -> {}, memory {:.1} -> {:.1} MiB",
            before.threads, after.threads, before.fds, after.fds, before.rss_mib, after.rss_mib
        );
        let back = after.threads <= before.threads
            && after.fds <= before.fds
            && after.rss_mib <= before.rss_mib + RSS_TOLERANCE_MIB;
        if back {
            return (Some(after), Ok(words));
        }
        if Instant::now() >= end {
            return (Some(after), Err(words));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
