//! Encoders that fail: their viewers are told, and new ones get a codec that works, or a refusal with the reason.

use std::time::Duration;

use realsense_webrtc::{
    media::{MediaEvent, fake::Call},
    model::{Codec, DeviceId, SessionId, StreamKey, StreamType},
};
use serde_json::{Value, json};

use super::{
    common::{CAMERA, TestServer, eventually},
    offer,
};

const WHY: &str = "encoder: Can not initialize x264 encoder. (pictures of 4000x3000, I420)";

impl TestServer {
    /// An encoder fails, as the media side tells it.
    fn fail(&self, stream: StreamType, codec: Codec, retry_in: Duration) {
        let key = StreamKey::new(DeviceId::new(CAMERA), stream);
        self.media.emit(MediaEvent::StreamError { key, codec, message: WHY.into(), retry_in });
    }

    async fn stats_of(&self, session: &str) -> Value {
        self.get(&format!("/api/webrtc/sessions/{session}")).await.json()["stats"]["streams"].clone()
    }
}

fn offered_codecs(server: &TestServer, session: &str) -> Vec<Codec> {
    let calls = server.media.calls();
    let codecs = calls.iter().find_map(|call| match call {
        Call::Open(id, _, codecs) if *id == SessionId::new(session) => Some(codecs.clone()),
        _ => None,
    });
    codecs.expect("the session was opened")
}

#[tokio::test]
async fn a_viewer_is_told_that_its_encoder_fails() {
    let server = TestServer::start().await;
    let session = server.offer(&["color", "depth"]).await;
    let answer = json!({"session_id": session, "sdp": "v=0\r\n", "type": "answer"});
    assert_eq!(server.post("/api/webrtc/answer", &answer).await.status, 200);
    let streams = server.stats_of(&session).await;
    assert_eq!((&streams[0]["trouble"], &streams[1]["trouble"]), (&Value::Null, &Value::Null), "{streams}");
    let before = server.handle.snapshot().borrow().revision;
    // Another codec of the same stream is none of its business.
    server.fail(StreamType::Color, Codec::VP8, Duration::from_secs(4));
    server.fail(StreamType::Depth, Codec::H264, Duration::from_secs(4));
    let streams = eventually("trouble", async || {
        let streams = server.stats_of(&session).await;
        (streams[1]["trouble"] == WHY).then_some(streams)
    });
    assert_eq!(streams.await[0]["trouble"], Value::Null);
    assert!(server.handle.snapshot().borrow().revision > before, "pages are told to look again");
    let all = server.get("/api/webrtc/sessions").await.json();
    assert_eq!(all[0]["stats"]["streams"][1]["trouble"], WHY);
    server.shutdown().await;
}

#[tokio::test]
async fn an_offer_leaves_out_a_codec_that_fails_and_says_so() {
    let server = TestServer::start().await;
    server.fail(StreamType::Color, Codec::H264, Duration::from_secs(4));
    // An offer comes by the same queue as the event, after it.
    let answer = server.post("/api/webrtc/offer", &offer(&["depth", "color"])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let offered = answer.json();
    assert_eq!(offered_codecs(&server, offered["session_id"].as_str().unwrap()), [Codec::VP8]);
    let note = offered["streams"][1]["note"].as_str().expect("a note");
    assert!(note.contains("H264") && note.contains(WHY), "{note}");
    assert_eq!(offered["streams"][0]["note"], Value::Null);
    // A stream that does not fail is offered as ever.
    let session = server.offer(&["depth"]).await;
    assert_eq!(offered_codecs(&server, &session), [Codec::H264, Codec::VP8]);
    server.shutdown().await;
}

#[tokio::test]
async fn an_offer_that_no_encoder_can_serve_is_refused_with_the_reason_until_it_is_tried_again() {
    let server = TestServer::start().await;
    let only = |codec: &str| {
        let mut body = offer(&["color"]);
        body["codecs"] = json!([format!("video/{codec}")]);
        body
    };
    server.fail(StreamType::Color, Codec::H264, Duration::from_secs(40));
    let answer = server.post("/api/webrtc/offer", &only("H264")).await;
    let detail = answer.expect_error(503);
    assert!(detail.contains("color") && detail.contains("Can not initialize x264 encoder"), "{detail}");
    assert_eq!(answer.header("retry-after"), Some("40"));
    assert_eq!(server.get("/api/webrtc/sessions").await.json(), json!([]), "nothing is left of it");
    assert_eq!(server.post("/api/webrtc/offer", &only("VP8")).await.status, 200);
    // Pictures of that encoder end the trouble.
    let key = StreamKey::new(DeviceId::new(CAMERA), StreamType::Color);
    server.metrics.encoder(&key, Codec::H264).frames.inc();
    assert_eq!(server.post("/api/webrtc/offer", &only("H264")).await.status, 200);
    // And so does the time at which it is tried again.
    server.fail(StreamType::Color, Codec::H264, Duration::ZERO);
    assert_eq!(server.post("/api/webrtc/offer", &only("H264")).await.status, 200);
    server.shutdown().await;
}
