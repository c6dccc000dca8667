//! Unknown routes, wrong methods, bodies of every wrong kind.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::{
    common::{Answer, CAMERA, JSON, TestServer},
    offer,
};

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_told_apart() {
    let server = TestServer::start().await;
    for path in ["/api/nothing", "/api/v1/nothing/", "/api/devices/1/2/3", "/api/v2/devices"] {
        let detail = server.get(path).await.expect_error(404);
        assert!(detail.contains("/docs"), "{detail}");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/api/webrtc/offer", "POST"),
        (Method::GET, "/api/v1/webrtc/offer/", "POST"),
        (Method::POST, "/api/devices", "GET,HEAD"),
        (Method::PATCH, "/api/webrtc/sessions", "GET,HEAD,DELETE"),
        (Method::POST, "/", "GET,HEAD"),
    ] {
        let answer = server.send(method.clone(), path, JSON, "{}").await;
        let detail = answer.expect_error(405);
        let sorted = |list: &str| list.split(',').map(str::trim).map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(answer.header("allow").unwrap()), sorted(allowed), "{method} {path}");
        assert!(detail.contains("Allowed"), "{detail}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_no_json_is_415_and_what_is_too_large_413() {
    let server = TestServer::start().await;
    let body = offer(&["color"]).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = server.send(Method::POST, "/api/webrtc/offer", &[("content-type", kind)], &body).await;
        let detail = answer.expect_error(415);
        assert!(detail.contains("application/json"), "{detail}");
    }
    for text in ["{", "hello", "{\"device_id\":}", "[1,", "\u{7f}", "{'device_id': 'x'}"] {
        server.send(Method::POST, "/api/webrtc/offer", JSON, text).await.expect_error(415);
    }
    let with_charset = &[("content-type", "application/json; charset=utf-8")];
    assert_eq!(server.send(Method::POST, "/api/webrtc/offer", with_charset, &body).await.status, 200);
    let empty = server.send(Method::POST, "/api/webrtc/offer", JSON, "").await.expect_error(422);
    assert!(empty.contains("missing"), "{empty}");

    let large = |size: usize| {
        let filler = "x".repeat(size);
        json!({"device_id": filler, "stream_types": ["color"]}).to_string()
    };
    let detail = server.send(Method::POST, "/api/webrtc/offer", JSON, &large(64 * 1024)).await.expect_error(413);
    assert!(detail.contains("64 KiB"), "{detail}");
    // Just below the limit the size is not what is wrong with it.
    server.send(Method::POST, "/api/webrtc/offer", JSON, &large(63 * 1024)).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn validation_errors_have_fastapis_shape() {
    let server = TestServer::start().await;
    let answer = server.post("/api/webrtc/offer", &json!({"stream_types": ["color"]})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"detail": [{"loc": ["body", "device_id"], "msg": "Field required", "type": "missing"}]})
    );
    let answer = server.post("/api/webrtc/offer", &json!({"device_id": CAMERA, "stream_types": ["color", 5]})).await;
    let item = &answer.json()["detail"][0];
    assert_eq!(item["loc"], json!(["body", "stream_types", 1]));
    assert_eq!(item["type"], "type_error");
    server.shutdown().await;
}

fn assert_is_contract(answer: &Answer, what: &str) {
    assert!(matches!(answer.status, 200 | 400 | 404 | 415 | 422), "{what}: {} {}", answer.status, answer.text());
    if answer.status != 200 {
        answer.expect_error(answer.status);
    }
}

/// Anything at all in a body gets a status of the contract, and the server goes on.
#[tokio::test]
async fn garbage_is_always_answered() {
    use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let key = prop_oneof![
                Just("device_id".to_owned()),
                Just("session_id".to_owned()),
                Just("stream_types".to_owned()),
                Just("configs".to_owned()),
                Just("sdp".to_owned()),
                Just("candidate".to_owned()),
                Just("profiles".to_owned()),
                Just("value".to_owned()),
                ".{0,6}",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key, inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    let server = TestServer::start().await;
    let targets = [
        (Method::POST, "/api/webrtc/offer".to_owned()),
        (Method::POST, "/api/webrtc/answer".to_owned()),
        (Method::POST, "/api/webrtc/ice-candidates".to_owned()),
        (Method::POST, format!("/api/devices/{CAMERA}/stream/start")),
        (Method::PUT, format!("/api/devices/{CAMERA}/stream/depth-range")),
        (Method::PUT, format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/exposure")),
        (Method::POST, format!("/api/sim/devices/{CAMERA}/fault")),
    ];
    let mut runner = TestRunner::deterministic();
    let bodies = prop_oneof![any_json().prop_map(|value| value.to_string()), ".{0,60}"];
    for _ in 0..60 {
        let body = bodies.new_tree(&mut runner).unwrap().current();
        for (method, path) in &targets {
            let answer = server.send(method.clone(), path, JSON, &body).await;
            assert_is_contract(&answer, &format!("{method} {path} {body:?}"));
        }
    }
    for path in [
        "/api/devices/%00",
        "/api/devices/%ff",
        "/api/devices/%2e%2e%2f",
        "/api/devices/%F0%9F%98%80",
        "/api/webrtc/sessions/%20",
        "/api/devices/..;/",
    ] {
        let answer = server.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        answer.expect_error(answer.status);
    }
    assert_eq!(server.get("/api/health").await.status, 200);
    server.shutdown().await;
}
