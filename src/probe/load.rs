//! `probe load`: many viewers at once, and what they and the server made of it.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    client::Client,
    process::{self, Cost},
    receiver::Options,
    report::{Report, ms},
    viewer::{StreamSummary, Viewer},
    watch,
};
use crate::error::Result;

/// How long all first frames may take.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(60);

/// Time between the last viewer's first frame and the begin of the measurement.
const SETTLE: Duration = Duration::from_secs(1);

/// What to load with.
#[derive(Debug, Clone)]
pub struct Load {
    /// Number of viewers; 0 measures the idle server.
    pub viewers: usize,
    /// Length of the measurement.
    pub measure_for: Duration,
    /// Streams of every viewer.
    pub streams: Vec<String>,
    /// Time between two joins.
    pub join_interval: Duration,
    /// The server's process, if it is local.
    pub pid: Option<u32>,
    /// Whether to print every viewer.
    pub per_viewer: bool,
}

/// Median, 95th percentile and greatest of a series.
#[derive(Debug, Clone, Copy, Default, Serialize, PartialEq)]
pub struct Spread {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Greatest.
    pub max: f64,
}

/// What one stream of one viewer got while it was measured.
struct Window {
    frames: u64,
    bytes: u64,
    lost: u64,
    missed: u64,
}

/// Joins the viewers, measures, and reports; true when all of them got every frame.
///
/// # Errors
/// Unavailable when the server cannot be reached.
pub async fn run(client: &Client, device: &str, load: &Load, mut report: Report) -> Result<bool> {
    let before = load.pid.and_then(process::sample);
    let (viewers, refused) = join_all(client, device, load).await;
    let late = wait_for_all(&viewers).await;
    tokio::time::sleep(SETTLE).await;

    let start = load.pid.and_then(process::sample);
    let own_start = process::sample(std::process::id());
    let counts = windows(&viewers);
    for viewer in &viewers {
        viewer.receiver.take_longest_gap();
    }
    let started = Instant::now();
    tokio::time::sleep(load.measure_for).await;
    let secs = started.elapsed().as_secs_f64();
    let measured = since(windows(&viewers), &counts);
    let gap_ms =
        viewers.iter().map(|viewer| viewer.receiver.take_longest_gap().as_secs_f64() * 1e3).fold(0.0, f64::max);
    let cost = |start: Option<process::Sample>, pid: u32| Some(start?.until(&process::sample(pid)?));
    let server = load.pid.and_then(|pid| cost(start, pid));
    let probe = cost(own_start, std::process::id());

    let summaries: Vec<Vec<StreamSummary>> = viewers.iter().map(Viewer::summary).collect();
    let offer_ms = spread(viewers.iter().map(|viewer| viewer.offer_took.as_secs_f64() * 1e3));
    let first_packet_ms = spread(summaries.iter().flatten().filter_map(|stream| stream.first_packet_ms));
    let first_frame_ms = spread(summaries.iter().flatten().filter_map(|stream| stream.first_frame_ms));
    let total = |of: fn(&Window) -> u64| measured.iter().map(of).sum::<u64>();
    let fps: Vec<f64> = measured.iter().map(|window| window.frames as f64 / secs).collect();
    let fps_min = fps.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let fps_mean = fps.iter().sum::<f64>() / fps.len().max(1) as f64;
    let mbps = total(|window| window.bytes) as f64 * 8.0 / 1e6 / secs;

    report.say(format!(
        "  {} of {} viewers of {}, measured for {secs:.1} s",
        viewers.len(),
        load.viewers,
        load.streams.join(" + ")
    ));
    let of_spread = |name: &str, spread: Spread| {
        vec![name.into(), format!("{:.0}", spread.p50), format!("{:.0}", spread.p95), format!("{:.0}", spread.max)]
    };
    if !viewers.is_empty() {
        report.table(
            &["ms after the offer request", "p50", "p95", "max"],
            &[
                of_spread("offer", offer_ms),
                of_spread("first packet", first_packet_ms),
                of_spread("first frame", first_frame_ms),
            ],
        );
        report.say(format!(
            "  fps mean {fps_mean:.2}, least {fps_min:.2}; {mbps:.1} Mbit/s in all; longest gap {gap_ms:.0} ms"
        ));
        let (frames, missed, lost) =
            (total(|window| window.frames), total(|window| window.missed), total(|window| window.lost));
        report.say(format!("  {frames} frames, {missed} missed, {lost} packets lost"));
    }
    say_cost(&report, "server", server);
    say_cost(&report, "probe", probe);
    if load.per_viewer {
        report.table(&watch::HEAD, &summaries.iter().flatten().map(watch::row).collect::<Vec<_>>());
    }
    report.put("viewers", load.viewers);
    report.put("joined", viewers.len());
    report.put("streams", json!(load.streams));
    report.put("secs", secs);
    report.put("offer_ms", json!(offer_ms));
    report.put("first_packet_ms", json!(first_packet_ms));
    report.put("first_frame_ms", json!(first_frame_ms));
    report.put("fps", json!({ "mean": fps_mean, "min": fps_min }));
    report.put("mbps", mbps);
    report.put("frames", total(|window| window.frames));
    report.put("missed", total(|window| window.missed));
    report.put("lost", total(|window| window.lost));
    report.put("longest_gap_ms", gap_ms);
    report.put("server", json!(server));
    report.put("server_rss_mib_before", json!(before.map(|sample| sample.rss_mib)));
    report.put("probe", json!(probe));
    if load.per_viewer {
        report.put("sessions", json!(summaries));
    }

    report
        .step("every viewer joined and saw a picture", refused.or(late).map_or(Ok(ms(Some(first_frame_ms.max))), Err));
    report.step("every frame was delivered", every_frame(&measured));
    leave_all(client, viewers).await;
    Ok(report.finish())
}

async fn join_all(client: &Client, device: &str, load: &Load) -> (Vec<Viewer>, Option<String>) {
    let mut joins = JoinSet::new();
    for index in 0..load.viewers {
        let (client, device, streams) = (client.clone(), device.to_owned(), load.streams.clone());
        let at = load.join_interval * u32::try_from(index).unwrap_or(u32::MAX);
        joins.spawn(async move {
            tokio::time::sleep(at).await;
            Viewer::join(&client, &device, &streams, Options::default()).await
        });
    }
    let mut viewers = Vec::with_capacity(load.viewers);
    let mut refused = None;
    while let Some(joined) = joins.join_next().await {
        match joined {
            Ok(Ok(viewer)) => viewers.push(viewer),
            Ok(Err(error)) => drop(refused.get_or_insert(error.public().to_owned())),
            Err(error) => drop(refused.get_or_insert(error.to_string())),
        }
    }
    (viewers, refused)
}

async fn wait_for_all(viewers: &[Viewer]) -> Option<String> {
    let end = Instant::now() + FIRST_FRAME_LIMIT;
    let mut late = None;
    for viewer in viewers {
        let left = end.saturating_duration_since(Instant::now());
        if let Err(wrong) = viewer.receives(1, left).await {
            late.get_or_insert(wrong);
        }
    }
    late
}

async fn leave_all(client: &Client, viewers: Vec<Viewer>) {
    // A few at a time: ending must not look like an attack.
    for group in chunks(viewers, 8) {
        let mut leaves = JoinSet::new();
        for viewer in group {
            let client = client.clone();
            leaves.spawn(async move { viewer.leave(&client).await });
        }
        while leaves.join_next().await.is_some() {}
    }
}

fn chunks(mut viewers: Vec<Viewer>, size: usize) -> Vec<Vec<Viewer>> {
    let mut groups = Vec::new();
    while !viewers.is_empty() {
        let rest = viewers.split_off(viewers.len().min(size));
        groups.push(std::mem::replace(&mut viewers, rest));
    }
    groups
}

fn windows(viewers: &[Viewer]) -> Vec<Window> {
    viewers
        .iter()
        .flat_map(|viewer| viewer.receiver.stats().streams)
        .map(|stream| Window {
            frames: stream.frames,
            bytes: stream.bytes,
            lost: stream.lost,
            missed: stream.missed + stream.broken,
        })
        .collect()
}

fn since(now: Vec<Window>, before: &[Window]) -> Vec<Window> {
    now.into_iter()
        .zip(before)
        .map(|(now, before)| Window {
            frames: now.frames - before.frames,
            bytes: now.bytes - before.bytes,
            lost: now.lost - before.lost,
            missed: now.missed - before.missed,
        })
        .collect()
}

fn every_frame(measured: &[Window]) -> std::result::Result<String, String> {
    let missed: u64 = measured.iter().map(|window| window.missed).sum();
    if measured.iter().any(|window| window.frames == 0) {
        return Err("a stream delivered nothing while it was measured".into());
    }
    if missed > 0 { Err(format!("{missed} frames missed")) } else { Ok(format!("{} streams", measured.len())) }
}

fn say_cost(report: &Report, name: &str, cost: Option<Cost>) {
    if let Some(cost) = cost {
        report.say(format!(
            "  {name}: {:.1} % of a core, {:.1} MiB, {} threads, {} fds",
            cost.cpu_percent, cost.rss_mib, cost.threads, cost.fds
        ));
    }
}

fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * values.len() as f64).ceil() as usize;
        values.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    Spread { p50: at(0.5), p95: at(0.95), max: at(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        assert_eq!(spread((1..=100).map(f64::from)), Spread { p50: 50.0, p95: 95.0, max: 100.0 });
        assert_eq!(spread([7.0].into_iter()), Spread { p50: 7.0, p95: 7.0, max: 7.0 });
        assert_eq!(spread(std::iter::empty()), Spread::default());
    }

    #[test]
    fn one_missed_frame_or_a_dead_stream_fails() {
        let window = |frames, missed| Window { frames, missed, bytes: 0, lost: 0 };
        assert!(every_frame(&[window(30, 0)]).is_ok());
        assert!(every_frame(&[window(30, 0), window(29, 1)]).is_err());
        assert!(every_frame(&[window(30, 0), window(0, 0)]).is_err());
    }
}
