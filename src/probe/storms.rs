//! `probe storms`: peers that ask for too much, name too much or are not who they say they are, and idle connections; what
//! each of them may cost is bounded, and a healthy viewer must notice nothing. Everything is bounded in count and time.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{
    process::{self, Sample},
    receiver::{Options, Phase},
    rtcp::Rtcp,
    steps::{Check, eventually},
    viewer::Viewer,
};

/// How long a storm is kept up unless the server ends it.
const STORM: Duration = Duration::from_secs(6);
/// How long the server may take to end a session that storms.
const END_LIMIT: Duration = Duration::from_secs(12);
/// How much memory the server may take more while a peer storms, MiB.
const RSS_LIMIT_MIB: f64 = 20.0;
/// Packets that may be sent for each second of a storm of retransmission requests: a burst, and a share of a stream.
const MEDIA_LIMIT_PER_S: f64 = 1500.0;
/// Key frames that a viewer may get for each second in which somebody else asks without end.
const KEY_FRAMES_PER_S: f64 = 1.0;
/// Sessions with mDNS candidates.
const MDNS_SESSIONS: usize = 8;
/// Threads and file descriptors that may differ by chance; a session that is left behind costs one and six.
const SLACK: u64 = 4;
/// How long the server may take to free what the last sessions held.
const SETTLE: Duration = Duration::from_secs(20);
/// Idle connections, and offers that nobody answers.
const IDLE_CONNECTIONS: usize = 300;
const IDLE_OFFERS: usize = 40;
/// How long a first frame may take.
const FIRST_FRAME: Duration = Duration::from_secs(20);

/// Runs the check; true when every step passed. Costs are compared when the server's process is known.
pub async fn run(mut check: Check, pid: Option<u32>) -> bool {
    check.join("healthy viewer", &["color"]).await;
    if pid.is_none() {
        check.report.say("  the server's process is not known (--pid): memory, threads and fds are not compared");
    }
    storm(&mut check, pid, "retransmission storm", true, 40, |_| Rtcp::Nacks(250)).await;
    storm(&mut check, pid, "slow retransmission storm", false, 10, |_| Rtcp::Nacks(8)).await;
    storm(&mut check, pid, "picture loss storm", false, 200, |_| Rtcp::PictureLoss).await;
    storm(&mut check, pid, "made-up sources", true, 300, |turn| Rtcp::SenderReport(0x0100_0000 + turn)).await;
    storm(&mut check, pid, "forged sources", false, 1000, |turn| Rtcp::Forged(0x0200_0000 + turn)).await;
    mdns(&mut check, pid).await;
    wrong_certificate(&mut check).await;
    idle(&mut check).await;
    check.references_fit("after all of it").await;
    check.others_go_on("after all of it").await;
    check.clean_up().await
}

/// A viewer that sends `per_second` packets for a while; where it `ends`, the server must end its session.
async fn storm(
    check: &mut Check,
    pid: Option<u32>,
    name: &str,
    ends: bool,
    per_second: u32,
    packet: impl Fn(u32) -> Rtcp,
) {
    let options = Options { rtcp: true, ..Options::default() };
    let joined = Viewer::join(&check.client, &check.device, &["color".to_owned()], options).await;
    let viewer = match joined {
        Ok(viewer) => viewer,
        Err(error) => {
            check.report.step(format!("{name}: joins"), Err(error.public().to_owned()));
            return;
        }
    };
    let seen = viewer.receives(5, FIRST_FRAME).await;
    check.report.step(format!("{name}: joins"), seen.map(|_| String::new()));
    let before = pid.and_then(process::sample);
    let (keys, packets) = (check.key_frames(), packets(&viewer));
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    let mut turn = 0;
    let mut highest = 0.0f64;
    while started.elapsed() < STORM {
        ticks.tick().await;
        if !viewer.receiver.send_rtcp(packet(turn)).await {
            break;
        }
        turn += 1;
        if turn % per_second.max(1) == 0 {
            highest = highest.max(pid.and_then(process::sample).map_or(0.0, |sample| sample.rss_mib));
        }
        if viewer.receiver.stats().phase == Phase::Closed {
            break;
        }
    }
    let secs = started.elapsed().as_secs_f64();
    let rate = (self::packets(&viewer) - packets) as f64 / secs;
    let words = format!("{turn} packets in {secs:.1} s, {rate:.0} media packets a second came");
    let outcome = if rate <= MEDIA_LIMIT_PER_S { Ok(words) } else { Err(words) };
    check.report.step(format!("{name}: what is sent stays bounded"), outcome);
    if ends {
        let outcome = check.session_ends(&viewer.session).await;
        check.report.step(format!("{name}: its session ends"), outcome);
    }
    if let Some(before) = before {
        let more = highest - before.rss_mib;
        let words = format!("{more:+.1} MiB (limit {RSS_LIMIT_MIB})");
        check.report.step(format!("{name}: memory"), if more <= RSS_LIMIT_MIB { Ok(words) } else { Err(words) });
    }
    let keys = check.key_frames() - keys;
    let allowed = 3.0 + secs * KEY_FRAMES_PER_S;
    let words = format!("{keys} key frames in {secs:.1} s (limit {allowed:.0})");
    let outcome = if keys as f64 <= allowed { Ok(words) } else { Err(words) };
    check.report.step(format!("{name}: key frames of the healthy viewer"), outcome);
    check.others_go_on(&format!("through the {name}")).await;
    // Ended already where it had to.
    let _ = viewer.leave(&check.client).await;
}

fn packets(viewer: &Viewer) -> u64 {
    viewer.receiver.stats().streams.iter().map(|stream| stream.packets + stream.repaired).sum()
}

impl Check {
    /// Key frames of the viewers so far.
    fn key_frames(&self) -> u64 {
        let streams = self.viewers().flat_map(|viewer| viewer.receiver.stats().streams);
        streams.map(|stream| stream.keyframes).sum()
    }

    async fn session_ends(&self, session: &str) -> Result<String, String> {
        let started = Instant::now();
        eventually(END_LIMIT, async || match self.client.session(session).await {
            Ok(None) => Ok(format!("after {:.1} s more", started.elapsed().as_secs_f64())),
            Ok(Some(_)) => Err("it is still there".into()),
            Err(error) => Err(error.public().to_owned()),
        })
        .await
    }
}

/// Sessions whose candidates are mDNS names leave nothing behind.
async fn mdns(check: &mut Check, pid: Option<u32>) {
    let mut before = None;
    for round in 0..2 {
        // The first round fills pools and caches.
        for _ in 0..MDNS_SESSIONS {
            let options = Options { mdns: true, ..Options::default() };
            let joined = Viewer::join(&check.client, &check.device, &["color".to_owned()], options).await;
            let outcome = match joined {
                Err(error) => Err(error.public().to_owned()),
                Ok(viewer) => {
                    let seen = viewer.receives(1, FIRST_FRAME).await;
                    let left = viewer.leave(&check.client).await;
                    seen.and(left.map_err(|error| error.public().to_owned())).map(|_| ())
                }
            };
            if let Err(why) = outcome {
                check.report.step("mDNS candidates: sessions connect", Err(why));
                return;
            }
        }
        let Some(pid) = pid else { continue };
        if round == 0 {
            before = settled(pid).await;
        }
    }
    check.report.step("mDNS candidates: sessions connect", Ok(format!("{}", 2 * MDNS_SESSIONS)));
    if let (Some(pid), Some(before)) = (pid, before) {
        let outcome = eventually(SETTLE, async || {
            let after = process::sample(pid).ok_or("the server's process is gone")?;
            let words = format!("threads {} -> {}, fds {} -> {}", before.threads, after.threads, before.fds, after.fds);
            let back = after.threads <= before.threads + SLACK && after.fds <= before.fds + SLACK;
            if back { Ok(words) } else { Err(words) }
        })
        .await;
        check.report.step("mDNS candidates: nothing is left behind", outcome);
    }
}

/// A sample once threads and descriptors have stopped to fall.
async fn settled(pid: u32) -> Option<Sample> {
    let mut last = process::sample(pid)?;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = process::sample(pid)?;
        if (now.threads, now.fds) == (last.threads, last.fds) {
            return Some(now);
        }
        last = now;
    }
    Some(last)
}

/// A peer whose certificate is not the one of its answer gets no picture.
async fn wrong_certificate(check: &mut Check) {
    let options = Options { wrong_fingerprint: true, ..Options::default() };
    let joined = Viewer::join(&check.client, &check.device, &["color".to_owned()], options).await;
    let viewer = match joined {
        Ok(viewer) => viewer,
        Err(error) => {
            check.report.step("wrong certificate: answers", Err(error.public().to_owned()));
            return;
        }
    };
    let outcome = check.session_ends(&viewer.session).await;
    check.report.step("wrong certificate: its session ends", outcome);
    let frames: u64 = viewer.frames().iter().sum();
    let outcome = if frames == 0 { Ok("no frame".into()) } else { Err(format!("{frames} frames came")) };
    check.report.step("wrong certificate: gets nothing", outcome);
    drop(viewer.receiver.vanish().await);
}

/// Idle connections and unanswered offers: each offer is made or refused in words, and the server lives on.
async fn idle(check: &mut Check) {
    let mut connections = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        let connect = TcpStream::connect((check.client.host(), check.client.port()));
        if let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_secs(2), connect).await {
            connections.push(connection);
        }
    }
    let (mut made, mut refused, mut wrong) = (Vec::new(), 0, None);
    for _ in 0..IDLE_OFFERS {
        let body = serde_json::json!({ "device_id": check.device, "stream_types": ["color"] });
        match check.client.request(http::Method::POST, "/webrtc/offer", Some(&body)).await {
            Ok(reply) if reply.is_ok() => made.extend(reply.body["session_id"].as_str().map(str::to_owned)),
            Ok(reply) if matches!(reply.status, 429 | 503) && !reply.detail().is_empty() => refused += 1,
            Ok(reply) => wrong = Some(reply.to_string()),
            Err(error) => wrong = Some(error.public().to_owned()),
        }
    }
    let words = format!("{} connections; {} offers made, {refused} refused in words", connections.len(), made.len());
    check.report.step("idle connections and offers", wrong.map_or(Ok(words), Err));
    drop(connections);
    for session in made {
        // Some may have ended by themselves.
        let _ = check.client.delete(&session).await;
    }
    check.others_go_on("through the idle connections").await;
}
