//! What the API says while the media side hangs or is too busy.

use realsense_webrtc::error::Error;
use serde_json::json;

use crate::common::{CAMERA, TestServer};

#[tokio::test]
async fn health_tells_of_a_media_side_that_hangs_and_of_its_end() {
    let server = TestServer::start().await;
    server.media.hang(Some("The media side does not answer."));
    let answer = server.get("/api/health").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    let body = answer.json();
    assert_eq!((&body["status"], &body["detail"]), (&json!("degraded"), &json!("The media side does not answer.")));
    server.media.hang(None);
    assert_eq!(server.get("/api/health").await.json()["status"], "ok");
    server.shutdown().await;
}

#[tokio::test]
async fn an_offer_to_a_busy_media_side_is_503_with_words() {
    let server = TestServer::start().await;
    server.media.be_busy(Some(Error::unavailable("The media side is too busy for this now.")));
    let offer = json!({ "device_id": CAMERA, "stream_types": ["color"] });
    let refused = server.post("/api/webrtc/offer", &offer).await;
    assert_eq!(refused.expect_error(503), "The media side is too busy for this now.");
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("realsense_webrtc_offers_refused_total{reason=\"unavailable\"} 1"), "{metrics}");
    assert_eq!(server.get("/api/webrtc/sessions").await.json(), json!([]));
    server.shutdown().await;
}
