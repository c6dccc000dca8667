//! `probe failure-recovery`: requests that must be refused, peers that misbehave, and a healthy viewer who must not
//! notice any of it. The statuses are those of the wire contract.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{
    client::Reply,
    receiver::{Options, Receiver, Stats},
    steps::{Check, eventually},
    viewer::Viewer,
};

/// A session id that no server gives out.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Bytes of an oversized body; the contract's limit is 64 KiB.
const OVERSIZE: usize = 80 * 1024;

/// A peer that vanished without good-bye must be gone within this time.
const VANISH_LIMIT: Duration = Duration::from_secs(15);

/// After this long a receiver that reports every second has been heard often enough for that.
const RHYTHM_KNOWN: Duration = Duration::from_secs(8);

/// Runs the check; true when every step passed.
pub async fn run(mut check: Check) -> bool {
    check.join("healthy viewer", &["color"]).await;
    refuse_offers(&mut check).await;
    check.references_fit("after the refused offers").await;
    check.others_go_on("through the refused offers").await;
    refuse_sessions(&mut check).await;
    check.others_go_on("through the refused requests").await;
    misuse_a_session(&mut check).await;
    check.references_fit("after the misused session").await;
    check.others_go_on("through the misused session").await;
    abandon_offers(&mut check).await;
    check.references_fit("after the abandoned offers").await;
    check.others_go_on("through the abandoned offers").await;
    vanish(&mut check).await;
    check.references_fit("after the vanished peer").await;
    check.others_go_on("through the vanished peer").await;
    check.join("newcomer", &["color", "depth"]).await;
    check.others_go_on("with a newcomer").await;
    check.clean_up().await
}

impl Check {
    /// A request that must be answered with one of these statuses and a sentence.
    async fn refused(&mut self, name: &str, reply: crate::error::Result<Reply>, wanted: &[u16], mention: Option<&str>) {
        let outcome = match reply {
            Err(error) => Err(error.public().to_owned()),
            Ok(reply) if !wanted.contains(&reply.status) => Err(format!("expected {wanted:?}, got {reply}")),
            Ok(reply) if reply.body["detail"].is_null() => Err(format!("{} without a detail", reply.status)),
            Ok(reply) if mention.is_some_and(|word| !reply.detail().contains(word)) => {
                Err(format!("{reply} does not mention {}", mention.unwrap_or_default()))
            }
            Ok(reply) => Ok(format!("{} {}", reply.status, shorten(&reply.detail()))),
        };
        self.report.step(name, outcome);
    }

    async fn offer_refused(&mut self, name: &str, body: Value, wanted: &[u16], mention: Option<&str>) {
        let reply = self.client.request(Method::POST, "/webrtc/offer", Some(&body)).await;
        self.refused(name, reply, wanted, mention).await;
    }
}

async fn refuse_offers(check: &mut Check) {
    let device = check.device.clone();
    let offer = |streams: Value| json!({ "device_id": device, "stream_types": streams });
    let unknown = json!({ "device_id": "no-such-device", "stream_types": ["color"] });
    check.offer_refused("offer: unknown device", unknown, &[404], None).await;
    check.offer_refused("offer: unknown stream type", offer(json!(["smell"])), &[400], Some("infrared-1")).await;
    let mixed = offer(json!(["color", "smell"]));
    check.offer_refused("offer: one good type, one unknown", mixed, &[400], Some("infrared-1")).await;
    check.offer_refused("offer: no stream types", offer(json!([])), &[400, 422], None).await;
    check.offer_refused("offer: stream_types is no list", offer(json!("color")), &[422], Some("stream_types")).await;
    check
        .offer_refused("offer: device_id missing", json!({ "stream_types": ["color"] }), &[422], Some("device_id"))
        .await;
    check.offer_refused("offer: body is a list", json!([1, 2]), &[422], None).await;

    let raw = |bytes: &[u8], kind: &'static str| Some((bytes.to_vec(), kind));
    let client = check.client.clone();
    let reply = client.raw(Method::POST, "/webrtc/offer", raw(b"{\"device_id\": ", "application/json")).await;
    check.refused("offer: broken JSON", reply, &[400, 415, 422], None).await;
    let reply = client.raw(Method::POST, "/webrtc/offer", raw(b"hello", "text/plain")).await;
    check.refused("offer: not JSON", reply, &[415, 422], None).await;
    let big = offer(json!(["c".repeat(OVERSIZE)]));
    check.offer_refused("offer: body over the limit", big, &[413], None).await;
    let reply = client.request(Method::PUT, "/webrtc/offer", Some(&offer(json!(["color"])))).await;
    check.refused("offer: wrong method", reply, &[405], None).await;
    let reply = client.request(Method::GET, "/webrtc/no-such-route", None).await;
    check.refused("unknown route", reply, &[404], None).await;
}

async fn refuse_sessions(check: &mut Check) {
    let client = check.client.clone();
    check.refused("answer for an unknown session", client.answer(NOBODY, "v=0\r\n").await, &[404], None).await;
    let candidate = "candidate:1 1 UDP 2015363327 127.0.0.1 9 typ host";
    let reply = client.candidate(NOBODY, candidate, None).await;
    check.refused("candidate for an unknown session", reply, &[404], None).await;
    let reply = client.request(Method::GET, &format!("/webrtc/sessions/{NOBODY}"), None).await;
    check.refused("status of an unknown session", reply, &[404], None).await;
    let outcome = match client.delete(NOBODY).await {
        Ok(false) => Ok("success: false".into()),
        Ok(true) => Err("the server says it ended a session that never was".into()),
        Err(error) => Err(error.public().to_owned()),
    };
    check.report.step("delete of an unknown session", outcome);
}

/// A session whose peer answers garbage, then well, then twice, sends garbage candidates, and goes on after its end.
async fn misuse_a_session(check: &mut Check) {
    let client = check.client.clone();
    let offer = match client.offer(&check.device, &["color".to_owned()]).await {
        Ok(offer) => offer,
        Err(error) => {
            check.report.step("offer to be misused", Err(error.public().to_owned()));
            return;
        }
    };
    let (receiver, answer, candidates) = match Receiver::from_offer(&offer.sdp, Options::default()) {
        Ok(made) => made,
        Err(error) => {
            check.report.step("answer to the offer", Err(error.public().to_owned()));
            return;
        }
    };
    let receiver = receiver.spawn();
    check.refused("answer: garbage SDP", client.answer(&offer.session, "garbage").await, &[400], None).await;
    let reply = client.candidate(&offer.session, "garbage", None).await;
    check.refused("candidate: garbage", reply, &[400], None).await;
    for candidate in &candidates {
        // One that is early is kept; whether it counts shows below, when the frames come.
        let _ = client.candidate(&offer.session, candidate, Some("")).await;
    }
    let _ = client.candidate(&offer.session, "", None).await;
    let outcome = match client.answer(&offer.session, &answer).await {
        Ok(reply) if reply.is_ok() => {
            let frames = receiver.wait(Duration::from_secs(10), |stats| stats.streams[0].keyframes > 0).await;
            frames.map(|_| "frames came".into()).map_err(|_| "accepted, but no frames came".into())
        }
        Ok(reply) => Err(reply.to_string()),
        Err(error) => Err(error.public().to_owned()),
    };
    check.report.step("good answer after a garbage one", outcome);
    check.refused("second answer", client.answer(&offer.session, &answer).await, &[400], None).await;
    let _ = client.delete(&offer.session).await;
    receiver.close().await;
    check.refused("answer after the end", client.answer(&offer.session, &answer).await, &[404], None).await;
    let candidate = candidates.first().map_or("", String::as_str);
    let reply = client.candidate(&offer.session, candidate, None).await;
    check.refused("candidate after the end", reply, &[404], None).await;
}

/// Offers that nobody answers, then taken back.
async fn abandon_offers(check: &mut Check) {
    const OFFERS: usize = 5;
    let client = check.client.clone();
    let streams = ["color".to_owned(), "depth".to_owned()];
    let mut open = Vec::new();
    let mut failed = None;
    for _ in 0..OFFERS {
        match client.offer(&check.device, &streams).await {
            Ok(offer) => open.push(offer.session),
            Err(error) => failed = Some(error.public().to_owned()),
        }
    }
    for session in &open {
        if !client.delete(session).await.unwrap_or(false) {
            failed = Some(format!("session {session} could not be ended"));
        }
    }
    check.report.step("offers that nobody answers", failed.map_or(Ok(format!("{OFFERS} made and ended")), Err));
}

async fn vanish(check: &mut Check) {
    let streams = ["color".to_owned()];
    let viewer = match Viewer::join(&check.client, &check.device, &streams, Options::default()).await {
        Ok(viewer) => viewer,
        Err(error) => {
            check.report.step("peer that will vanish", Err(error.public().to_owned()));
            return;
        }
    };
    // Long enough that the server knows how often it speaks; before that it is waited for longer.
    let known = |stats: &Stats| {
        stats.streams.iter().all(|stream| stream.frames > 0)
            && stats.connected_at.is_some_and(|at| at.elapsed() >= RHYTHM_KNOWN)
    };
    if viewer.receiver.wait(Duration::from_secs(20), known).await.is_err() {
        check.report.step("peer that will vanish", Err("it got no picture".into()));
    }
    viewer.receiver.vanish().await;
    let started = std::time::Instant::now();
    let client = check.client.clone();
    let session = viewer.session;
    let outcome = eventually(VANISH_LIMIT, async || match client.session(&session).await {
        Ok(None) => Ok(format!("gone after {:.1} s", started.elapsed().as_secs_f64())),
        Ok(Some(_)) => Err(format!("still there after {VANISH_LIMIT:?}")),
        Err(error) => Err(error.public().to_owned()),
    })
    .await;
    if outcome.is_err() {
        // Its references must not spoil the steps that follow.
        let _ = check.client.delete(&session).await;
    }
    check.report.step("peer vanishes without good-bye", outcome);
}

fn shorten(text: &str) -> String {
    const LIMIT: usize = 70;
    if text.chars().count() <= LIMIT {
        return text.into();
    }
    text.chars().take(LIMIT).chain(['…']).collect()
}
