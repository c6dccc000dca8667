//! Steps that several checks share: join and receive, reference counts, "the others go on", clean up.
//! Owns the viewers of a check so that they are ended whatever happens; the checks own the order of the steps.

use std::time::{Duration, Instant};

use super::{
    client::{Client, References},
    receiver::Options,
    report::Report,
    viewer::Viewer,
};
use crate::error::Result;

/// How long a viewer may take to its first frames: a camera may have to start first.
const RECEIVE_LIMIT: Duration = Duration::from_secs(20);

/// How long the server may take to show what a request changed.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Time between two looks at the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Frames that prove that a stream flows.
const ENOUGH_FRAMES: u64 = 15;

/// Longest time without a frame that still counts as "goes on".
pub const MAX_GAP: Duration = Duration::from_millis(500);

/// How long "the others" are watched after something happened.
const WATCH: Duration = Duration::from_millis(1500);

/// A check under way.
pub struct Check {
    /// The server.
    pub client: Client,
    /// The device.
    pub device: String,
    /// The findings.
    pub report: Report,
    baseline: References,
    viewers: Vec<(String, Viewer)>,
}

impl Check {
    /// Looks at what others hold already, so that counts can be told apart from theirs.
    ///
    /// # Errors
    /// Unavailable when the server does not answer.
    pub async fn start(client: Client, device: Option<&str>, report: Report) -> Result<Self> {
        let device = client.pick_device(device).await?;
        let baseline = client.references(&device).await?;
        Ok(Self { client, device, report, baseline, viewers: Vec::new() })
    }

    /// Joins a viewer and waits until every stream of it flows, beginning with a key frame.
    pub async fn join(&mut self, name: &str, streams: &[&str]) -> bool {
        let types: Vec<String> = streams.iter().map(|name| (*name).to_owned()).collect();
        let outcome = match Viewer::join(&self.client, &self.device, &types, Options::default()).await {
            Err(error) => Err(error.public().to_owned()),
            Ok(viewer) => {
                let outcome = Self::receives(&viewer).await;
                self.viewers.push((name.into(), viewer));
                outcome
            }
        };
        self.report.step(format!("{name} joins with {}", streams.join(" + ")), outcome)
    }

    async fn receives(viewer: &Viewer) -> std::result::Result<String, String> {
        viewer.receives(ENOUGH_FRAMES, RECEIVE_LIMIT).await?;
        let summary = viewer.summary();
        if let Some(late) = summary.iter().find(|stream| !stream.started_with_keyframe) {
            return Err(format!("{} began in the middle: its first frame was no key frame", late.stream));
        }
        let first = summary.iter().filter_map(|stream| stream.first_frame_ms).fold(0.0, f64::max);
        Ok(format!("{ENOUGH_FRAMES} frames of each, first after {first:.0} ms"))
    }

    /// Ends a viewer's session over HTTP.
    pub async fn leave(&mut self, name: &str) -> bool {
        let Some(viewer) = self.take(name) else {
            return self.report.step(format!("{name} leaves"), Err("it never joined".into()));
        };
        let outcome = match viewer.leave(&self.client).await {
            Ok(true) => Ok(String::new()),
            Ok(false) => Err("the server did not know the session any more".into()),
            Err(error) => Err(error.public().to_owned()),
        };
        self.report.step(format!("{name} leaves"), outcome)
    }

    /// Takes a viewer out, to do with it what the check wants.
    pub fn take(&mut self, name: &str) -> Option<Viewer> {
        let at = self.viewers.iter().position(|(other, _)| other == name)?;
        Some(self.viewers.remove(at).1)
    }

    /// The viewers that are there.
    pub(super) fn viewers(&self) -> impl Iterator<Item = &Viewer> {
        self.viewers.iter().map(|(_, viewer)| viewer)
    }

    /// Counts of references that are ours: one for each stream of each viewer, plus `extra`.
    fn expected(&self, extra: &[&str]) -> References {
        let mut expected = self.baseline.clone();
        let ours = self.viewers.iter().flat_map(|(_, viewer)| viewer.streams.iter().map(String::as_str));
        for stream in ours.chain(extra.iter().copied()) {
            *expected.entry(stream.into()).or_default() += 1;
        }
        expected
    }

    /// The server counts exactly one reference for each stream of each viewer, and those that were there before.
    pub async fn references_fit(&mut self, when: &str) -> bool {
        let expected = self.expected(&[]);
        let (client, device) = (self.client.clone(), self.device.clone());
        let outcome = eventually(SETTLE_LIMIT, async || {
            let seen = client.references(&device).await.map_err(|error| error.public().to_owned())?;
            if seen == expected {
                Ok(if seen.is_empty() { "none".into() } else { words(&seen) })
            } else {
                Err(format!("expected {}, the server counts {}", words(&expected), words(&seen)))
            }
        })
        .await;
        self.report.step(format!("references {when}"), outcome)
    }

    /// The server lists every viewer as connected and streaming.
    pub async fn sessions_listed(&mut self) -> bool {
        let wanted: Vec<(String, String)> =
            self.viewers.iter().map(|(name, viewer)| (name.clone(), viewer.session.clone())).collect();
        let client = self.client.clone();
        let outcome = eventually(SETTLE_LIMIT, async || {
            let listed = client.sessions().await.map_err(|error| error.public().to_owned())?;
            for (name, id) in &wanted {
                let session = listed.iter().find(|session| session.session == *id);
                let session = session.ok_or_else(|| format!("{name} is not listed"))?;
                if !(session.connected && session.streaming) {
                    let (connected, streaming) = (session.connected, session.streaming);
                    return Err(format!("{name}: connected {connected}, streaming {streaming}"));
                }
            }
            Ok(format!("{} connected and streaming", wanted.len()))
        })
        .await;
        self.report.step("sessions are listed", outcome)
    }

    /// Every viewer that is still there keeps getting frames, without a gap since the last such step.
    pub async fn others_go_on(&mut self, when: &str) -> bool {
        let before: Vec<_> = self.viewers.iter().map(|(_, viewer)| viewer.frames()).collect();
        let end = Instant::now() + WATCH;
        let mut failed = None;
        let mut worst = Duration::ZERO;
        for ((name, viewer), before) in self.viewers.iter().zip(&before) {
            let grew = |frames: &u64, before: &u64| *frames >= before + ENOUGH_FRAMES / 2;
            let left = end.saturating_duration_since(Instant::now());
            let outcome = viewer
                .receiver
                .wait(left.max(Duration::from_millis(1)), |stats| {
                    Instant::now() >= end
                        && stats.streams.iter().zip(before).all(|(stream, before)| grew(&stream.frames, before))
                })
                .await;
            let gap = viewer.receiver.take_longest_gap();
            worst = worst.max(gap);
            let frames = viewer.frames();
            if outcome.is_err() && !frames.iter().zip(before).all(|(frames, before)| grew(frames, before)) {
                failed.get_or_insert(format!("{name} got too few frames: {before:?} before, {frames:?} after"));
            }
            if gap > MAX_GAP {
                failed.get_or_insert(format!("{name} had no frame for {} ms", gap.as_millis()));
            }
        }
        let fine = format!("{} watching, longest gap {} ms", self.viewers.len(), worst.as_millis());
        self.report.step(format!("others go on {when}"), failed.map_or(Ok(fine), Err))
    }

    /// Ends what is left and checks that the server is as it was before.
    pub async fn clean_up(mut self) -> bool {
        let mut ours = Vec::new();
        for (_, viewer) in self.viewers.drain(..) {
            ours.push(viewer.session.clone());
            // Whether it worked shows in the counts below.
            let _ = viewer.leave(&self.client).await;
        }
        self.references_fit("after clean up").await;
        let outcome = match self.client.sessions().await {
            Ok(listed) if listed.iter().any(|session| ours.contains(&session.session)) => {
                Err("a session that was ended is still listed".into())
            }
            Ok(listed) => Ok(format!("{} sessions of others", listed.len())),
            Err(error) => Err(error.public().to_owned()),
        };
        self.report.step("sessions after clean up", outcome);
        self.report.finish()
    }
}

/// Looks again and again until it is right or the time is up; then gives what was wrong last.
pub async fn eventually(
    limit: Duration,
    look: impl AsyncFn() -> std::result::Result<String, String>,
) -> std::result::Result<String, String> {
    let end = Instant::now() + limit;
    loop {
        let outcome = look().await;
        if outcome.is_ok() || Instant::now() >= end {
            return outcome;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn words(references: &References) -> String {
    if references.is_empty() {
        return "none".into();
    }
    references.iter().map(|(stream, count)| format!("{stream} {count}")).collect::<Vec<_>>().join(", ")
}
