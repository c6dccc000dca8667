//! Offers, answers, candidates, the session list and its limit.

use http::Method;
use realsense_webrtc::{config::TurnServer, media::MediaEvent, model::SessionId};
use serde_json::{Value, json};

use super::{
    common::{CAMERA, JSON, TestServer, config, eventually},
    offer,
};

const ANSWER_SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const CANDIDATE: &str = "candidate:1 1 UDP 2122252543 192.168.1.20 53124 typ host";

#[tokio::test]
async fn a_session_goes_through_its_life() {
    let server = TestServer::start().await;
    let mut body = offer(&["depth", "COLOR", "depth"]);
    body["codecs"] = json!(["video/rtx", "video/VP8", "video/AV1"]);
    body["profiles"] = json!({"color": {"width": 1280, "height": 720, "framerate": 30}});
    let answer =
        server.send(Method::POST, "/api/webrtc/offer", &[JSON[0], ("user-agent", "Test/1")], &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let offered = answer.json();
    assert_eq!(offered["type"], "offer");
    assert!(offered["sdp"].as_str().unwrap().starts_with("v=0"));
    let kinds: Vec<_> = offered["streams"].as_array().unwrap().iter().map(|s| s["stream_type"].clone()).collect();
    assert_eq!(kinds, ["depth", "color"]);
    assert_eq!(offered["streams"][1]["profile"], json!({"width": 1280, "height": 720, "framerate": 30}));
    let session = offered["session_id"].as_str().unwrap();
    let path = format!("/api/webrtc/sessions/{session}");

    let status = server.get(&path).await.json();
    assert_eq!(status["session_id"], session);
    assert_eq!(status["device_id"], CAMERA);
    assert_eq!(status["state"], "offered");
    assert_eq!((&status["connected"], &status["streaming"]), (&json!(false), &json!(false)));
    assert_eq!(status["stream_types"], json!(["depth", "color"]));
    assert_eq!(status["user_agent"], "Test/1");
    assert!(status["created_at"].as_f64().unwrap() > 1.7e9 && status["last_activity"].is_number());
    assert_eq!(status.get("remote_address"), Some(&Value::Null), "it is told, and not known yet");

    // Candidates come before the answer, in every form that browsers and scripts send.
    for candidate in [
        json!({"session_id": session, "candidate": CANDIDATE, "sdpMid": "video0", "sdpMLineIndex": 0}),
        json!({"session_id": session, "candidate": CANDIDATE, "sdpMid": "", "sdpMLineIndex": 0}),
        json!({"session_id": session, "candidate": format!("a={CANDIDATE}"), "sdpMid": null, "sdpMLineIndex": null}),
        json!({"session_id": session, "candidate": CANDIDATE}),
        json!({"session_id": session, "candidate": CANDIDATE, "sdp_mid": "video0", "sdp_mline_index": 0}),
        json!({"session_id": session, "candidate": "", "sdpMid": null, "sdpMLineIndex": null}),
        json!({"session_id": session, "candidate": null}),
    ] {
        let answer = server.post("/api/webrtc/ice-candidates", &candidate).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"success": true})), "{candidate}");
    }
    let ours = server.get(&format!("{path}/ice-candidates")).await.json();
    assert!(ours[0]["candidate"].as_str().unwrap().starts_with("candidate:"));
    assert_eq!((&ours[0]["sdpMid"], &ours[0]["sdpMLineIndex"]), (&json!("0"), &json!(0)));

    let body = json!({"session_id": session, "sdp": ANSWER_SDP, "type": "answer"});
    let answered = server.post("/api/webrtc/answer", &body).await;
    assert_eq!((answered.status, answered.json()), (200, json!({"success": true})));
    assert_eq!(server.get(&path).await.json()["state"], "connecting");
    let detail = server.post("/api/webrtc/answer", &body).await.expect_error(400);
    assert!(detail.contains("answer"), "{detail}");

    server
        .media
        .emit(MediaEvent::Connected { session: SessionId::new(session), remote_address: Some("127.0.0.1:9".into()) });
    let status = eventually("connected", async || {
        let status = server.get(&format!("/api/webrtc/sessions/{session}")).await.json();
        (status["connected"] == true).then_some(status)
    })
    .await;
    assert_eq!(status["state"], "connected");
    assert_eq!(status["streaming"], false, "the fake sends nothing");
    assert_eq!(status["remote_address"], "127.0.0.1:9");
    assert!(status["stats"]["streams"].is_array());

    assert_eq!(server.get("/api/webrtc/sessions").await.json().as_array().unwrap().len(), 1);
    assert_eq!(server.delete(&path).await.json(), json!({"success": true}));
    assert_eq!(server.delete(&path).await.json(), json!({"success": false}));
    server.get(&path).await.expect_error(404);
    server.get(&format!("{path}/ice-candidates")).await.expect_error(404);
    server.post("/api/webrtc/answer", &body).await.expect_error(404);
    let late = json!({"session_id": session, "candidate": CANDIDATE, "sdpMid": "video0", "sdpMLineIndex": 0});
    server.post("/api/webrtc/ice-candidates", &late).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn an_impossible_offer_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let profile = |width: i64, height: i64, framerate: i64| {
        let mut body = offer(&["color"]);
        body["profiles"] = json!({"color": {"width": width, "height": height, "framerate": framerate}});
        body
    };
    let codecs = |names: Value| {
        let mut body = offer(&["color"]);
        body["codecs"] = names;
        body
    };
    for (body, status, word) in [
        (offer(&["thermal"]), 400, "color, depth, infrared-1, infrared-2"),
        (offer(&["gyro"]), 400, "color, depth, infrared-1, infrared-2"),
        (offer(&["color", "\u{0}"]), 400, "color, depth"),
        (offer(&[]), 400, "color, depth"),
        (offer(&["color"; 9]), 400, "8"),
        (json!({"device_id": "000", "stream_types": ["color"]}), 404, "000"),
        (codecs(json!(["video/AV1"])), 400, "video/H264"),
        (codecs(json!([])), 400, "video/H264"),
        (codecs(json!("video/H264")), 422, "codecs"),
        (profile(0, 480, 30), 400, "from 1"),
        (profile(640, 5000, 30), 400, "4096"),
        (profile(640, 480, 301), 400, "300"),
        (profile(640, 480, -1), 400, "300"),
        (profile(641, 480, 30), 400, "640x480"),
        (json!({"device_id": CAMERA, "stream_types": ["color"], "profiles": {"color": {"width": 640}}}), 422, "height"),
        (json!({"device_id": CAMERA, "stream_types": "color"}), 422, "stream_types"),
        (json!({"device_id": 844_212_070_924_u64, "stream_types": ["color"]}), 422, "device_id"),
        (json!({"device_id": CAMERA}), 422, "stream_types"),
        (json!({"stream_types": ["color"]}), 422, "device_id"),
        (json!([1, 2]), 422, "body"),
        (json!(null), 422, "body"),
        (json!("text"), 422, "body"),
    ] {
        let detail = server.post("/api/webrtc/offer", &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    assert_eq!(server.get("/api/webrtc/sessions").await.json(), json!([]));
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references, json!({"stream_references": {}, "device_stream_configs": {}}));
    server.shutdown().await;
}

#[tokio::test]
async fn bad_answers_and_candidates_are_refused_and_leave_the_session_alone() {
    let server = TestServer::start().await;
    let session = server.offer(&["color"]).await;
    for (body, status, word) in [
        (json!({"session_id": session, "sdp": ANSWER_SDP, "type": "pranswer"}), 400, "answer"),
        (json!({"session_id": session, "sdp": "hello", "type": "answer"}), 400, "v=0"),
        (json!({"session_id": session, "sdp": "", "type": "answer"}), 400, "v=0"),
        (json!({"session_id": session, "sdp": ANSWER_SDP}), 422, "type"),
        (json!({"session_id": session, "sdp": 5, "type": "answer"}), 422, "sdp"),
        (json!({"session_id": "nobody", "sdp": ANSWER_SDP, "type": "answer"}), 404, "nobody"),
    ] {
        let detail = server.post("/api/webrtc/answer", &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    for (body, status, word) in [
        (json!({"session_id": session, "candidate": "hello", "sdpMid": "0", "sdpMLineIndex": 0}), 400, "candidate"),
        (json!({"session_id": session, "candidate": "candidate:1 1 UDP x", "sdpMid": "0"}), 400, "candidate"),
        (json!({"session_id": session, "candidate": 5}), 422, "candidate"),
        (json!({"session_id": session, "candidate": CANDIDATE, "sdpMLineIndex": -1}), 422, "sdpMLineIndex"),
        (json!({"candidate": CANDIDATE}), 422, "session_id"),
        (json!({"session_id": "nobody", "candidate": CANDIDATE}), 404, "nobody"),
    ] {
        let detail = server.post("/api/webrtc/ice-candidates", &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    let status = server.get(&format!("/api/webrtc/sessions/{session}")).await.json();
    assert_eq!(status["state"], "offered");
    server.shutdown().await;
}

#[tokio::test]
async fn the_session_limit_is_429_and_a_place_comes_back() {
    let mut config = config();
    config.sessions.limit = 2;
    let server = TestServer::with(config).await;
    let first = server.offer(&["color"]).await;
    server.offer(&["depth"]).await;
    let before = server.get("/api/webrtc/stream-references").await.json();
    let detail = server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(429);
    assert!(detail.contains('2'), "{detail}");
    assert_eq!(server.get("/api/webrtc/stream-references").await.json(), before);
    server.delete(&format!("/api/webrtc/sessions/{first}")).await;
    server.offer(&["color"]).await;
    let closed = server.delete("/api/webrtc/sessions").await;
    assert_eq!(closed.json(), json!({"closed_sessions": 2}));
    assert_eq!(server.delete("/api/webrtc/sessions/").await.json(), json!({"closed_sessions": 0}));
    server.shutdown().await;
}

#[tokio::test]
async fn what_became_of_a_session_is_told_in_a_word() {
    let mut config = config();
    config.sessions.max_lifetime_s = 1;
    let server = TestServer::with(config).await;
    let told = async |session: &str| {
        let answer = server.get(&format!("/api/webrtc/sessions/{session}")).await;
        (answer.status, answer.json()["reason"].clone())
    };
    let closed = server.offer(&["color"]).await;
    server.delete(&format!("/api/webrtc/sessions/{closed}")).await;
    let old = server.offer(&["color"]).await;
    eventually("it has lived its time", async || (told(&old).await == (404, json!("lifetime"))).then_some(())).await;
    assert_eq!(told(&closed).await, (404, json!("closed_by_request")));
    assert_eq!(told("never-there").await, (404, json!(null)));
    server.shutdown().await;
}

#[tokio::test]
async fn ice_servers_come_from_the_configuration() {
    let mut config = config();
    config.webrtc.stun_server = "stun:stun.example.org:3478".into();
    config.webrtc.turn_servers =
        vec![TurnServer { url: "turn:turn.example.org".into(), username: "u".into(), credential: "p".into() }];
    let server = TestServer::with(config).await;
    assert_eq!(
        server.get("/api/v1/webrtc/ice-servers/").await.json(),
        json!([{"urls": ["stun:stun.example.org:3478"]},
            {"urls": ["turn:turn.example.org"], "username": "u", "credential": "p"}])
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_session_is_changed_without_a_new_offer() {
    let server = TestServer::start().await;
    let body = json!({"device_id": CAMERA, "stream_types": ["color"], "spare_streams": 1});
    let offer = server.post("/api/webrtc/offer", &body).await.json();
    assert_eq!(offer["streams"][0]["mline_index"], 0);
    let session = offer["session_id"].as_str().unwrap();
    let path = format!("/api/v1/webrtc/sessions/{session}/");
    let change = async |body: Value| server.send(Method::PATCH, &path, JSON, &body.to_string()).await;
    let early = change(json!({"stream_types": ["depth"]})).await.expect_error(409);
    assert!(early.contains("no answer yet"), "{early}");
    let answer = json!({"session_id": session, "sdp": "v=0", "type": "answer"});
    assert_eq!(server.post("/api/webrtc/answer", &answer).await.status, 200);
    let changed = change(json!({"stream_types": ["depth", "color", "depth"]})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!((&changed["session_id"], &changed["stream_types"]), (&json!(session), &json!(["color", "depth"])));
    assert_eq!(changed["streams"][1]["mline_index"], 1);
    assert!(changed.get("sdp").is_none(), "nothing is to be negotiated");
    let wide = json!({"width": 848, "height": 480, "framerate": 30});
    let changed = change(json!({"profiles": {"depth": wide}})).await.json();
    assert_eq!(changed["streams"][1]["profile"], wide);
    assert_eq!(server.get(&path).await.json()["stream_types"], json!(["color", "depth"]));
    for (body, status, word) in [
        (json!({}), 400, "Nothing to change"),
        (json!({"stream_types": []}), 400, "Valid stream types"),
        (json!({"stream_types": ["thermal"]}), 400, "infrared-1"),
        (json!({"profiles": {"depth": {"width": 641, "height": 480, "framerate": 30}}}), 400, "nearest"),
        (json!({"profiles": {"infrared-1": wide}}), 400, "not to carry"),
        (json!({"stream_types": "depth"}), 422, "stream_types"),
        (json!({"profiles": {"depth": {"width": 640}}}), 422, "height"),
    ] {
        let detail = change(body.clone()).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    server
        .send(Method::PATCH, "/api/webrtc/sessions/nobody", JSON, r#"{"stream_types":["color"]}"#)
        .await
        .expect_error(404);
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({CAMERA: {"color": 1, "depth": 1}}));
    // What has no room comes with a new offer of the same session.
    let changed = change(json!({"stream_types": ["color", "depth", "infrared-1"]})).await.json();
    assert_eq!((&changed["type"], &changed["session_id"]), (&json!("offer"), &json!(session)));
    assert!(changed["sdp"].as_str().is_some_and(|sdp| sdp.starts_with("v=0")), "{changed}");
    assert_eq!(changed["streams"][2]["mline_index"], 2);
    assert_eq!(server.get(&path).await.json()["stream_types"], json!(["color", "depth"]));
    let early = change(json!({"stream_types": ["color"]})).await.expect_error(409);
    assert!(early.contains("not answered yet"), "{early}");
    assert_eq!(server.post("/api/webrtc/answer", &answer).await.status, 200);
    assert_eq!(server.get(&path).await.json()["stream_types"], json!(["color", "depth", "infrared-1"]));
    let too_many = json!({"device_id": CAMERA, "stream_types": ["color"], "spare_streams": 5});
    let detail = server.post("/api/webrtc/offer", &too_many).await.expect_error(400);
    assert!(detail.contains("0 to 4"), "{detail}");
    server.shutdown().await;
}
