//! The answers that clients of the camera vendor's server read, against the shapes that they expect (tests/openapi/vendor.json).

use http::Method;
use serde_json::{Value, json};

use super::{
    common::{CAMERA, JSON, TestServer, eventually},
    depth_start,
    openapi::misfit,
};

fn shapes() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi/vendor.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Asks as a client of that family does, below its prefix and with a slash at the end.
struct Asking<'a> {
    server: &'a TestServer,
    shapes: Value,
}

impl Asking<'_> {
    async fn of(&self, shape: &str, status: u16, method: Method, route: &str, body: Option<&Value>) -> Value {
        let (path, query) =
            route.split_once('?').map_or((route, String::new()), |(path, query)| (path, format!("?{query}")));
        let headers = if body.is_some() { JSON } else { &[] };
        let body = body.map(ToString::to_string).unwrap_or_default();
        let path = format!("/api/v1{path}/{query}");
        let answer = self.server.send(method.clone(), &path, headers, &body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let answered = answer.json();
        self.fits(shape, &answered, &format!("{method} {path}"));
        answered
    }

    fn fits(&self, shape: &str, answered: &Value, what: &str) {
        let (list, name) = shape.strip_prefix('[').map_or((false, shape), |name| (true, name.trim_end_matches(']')));
        let schema = &self.shapes["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is described");
        let schema = if list { json!({"type": "array", "items": schema}) } else { schema.clone() };
        assert_eq!(misfit(&self.shapes, &schema, answered, "body"), None, "{what}: {answered}");
    }

    async fn get(&self, shape: &str, route: &str) -> Value {
        self.of(shape, 200, Method::GET, route, None).await
    }

    async fn post(&self, shape: &str, route: &str, body: Option<&Value>) -> Value {
        self.of(shape, 200, Method::POST, route, body).await
    }
}

#[tokio::test]
async fn every_answer_has_the_shape_that_the_vendors_clients_read() {
    let server = TestServer::start().await;
    let ask = Asking { server: &server, shapes: shapes() };
    let device = format!("/devices/{CAMERA}");
    let sensor = format!("{device}/sensors/{CAMERA}-sensor-0");
    ask.get("Health", "/health").await;
    let devices = ask.get("[DeviceInfo]", "/devices").await;
    assert_eq!(devices.as_array().map(Vec::len), Some(1));
    ask.get("[DeviceInfo]", "/devices?force_refresh=true").await;
    ask.get("DeviceInfo", &device).await;
    ask.get("FirmwareStatus", &format!("{device}/status")).await;
    ask.get("[SensorInfo]", &format!("{device}/sensors")).await;
    ask.get("SensorInfo", &sensor).await;
    ask.get("[OptionInfo]", &format!("{sensor}/options")).await;
    ask.get("OptionInfo", &format!("{sensor}/options/exposure")).await;
    let value = json!({"value": 4000});
    ask.of("OptionSet", 200, Method::PUT, &format!("{sensor}/options/exposure"), Some(&value)).await;

    ask.get("SensorStreamStatus", &format!("{sensor}/status")).await;
    let one = json!({"configs": [depth_start(640, 480, 30)["configs"][0]]});
    ask.post("SensorStreamStatus", &format!("{sensor}/start"), Some(&one)).await;
    ask.get("SensorStreamStatus", &format!("{sensor}/status")).await;
    ask.post("StreamStart", &format!("{device}/stream/start"), Some(&depth_start(640, 480, 30))).await;
    ask.get("StreamStatus", &format!("{device}/stream/status")).await;
    ask.get("DepthRange", &format!("{device}/stream/depth-range")).await;
    eventually("a depth frame", async || {
        let path = format!("/api/v1{device}/stream/depth-at-pixel/?x=1&y=1");
        (server.get(&path).await.status == 200).then_some(())
    })
    .await;
    ask.get("DepthAtPixel", &format!("{device}/stream/depth-at-pixel?x=320&y=240")).await;
    ask.get("DepthAtPixel", &format!("{device}/stream/depth-at-pixel?x=9999&y=240")).await;
    ask.post("PointCloudStatus", &format!("{device}/point_cloud/activate"), None).await;
    ask.get("PointCloudStatus", &format!("{device}/point_cloud/status")).await;
    ask.get("PointCloudData", &format!("/webrtc/pointcloud-data/{CAMERA}")).await;
    ask.post("PointCloudStatus", &format!("{device}/point_cloud/deactivate"), None).await;

    let wanted = json!({"device_id": CAMERA, "stream_types": ["depth", "color"]});
    let offer = ask.post("WebRTCOffer", "/webrtc/offer", Some(&wanted)).await;
    let session = offer["session_id"].as_str().unwrap();
    let candidate = json!({"session_id": session, "sdpMid": "", "sdpMLineIndex": 0,
        "candidate": "candidate:1 1 udp 1677729535 192.0.2.1 46154 typ host"});
    ask.post("Success", "/webrtc/ice-candidates", Some(&candidate)).await;
    let answer = json!({"session_id": session, "sdp": "v=0", "type": "answer"});
    ask.post("Success", "/webrtc/answer", Some(&answer)).await;
    ask.get("[WebRTCStatus]", "/webrtc/sessions").await;
    ask.get("WebRTCStatus", &format!("/webrtc/sessions/{session}")).await;
    ask.get("[IceCandidate]", &format!("/webrtc/sessions/{session}/ice-candidates")).await;
    ask.get("[IceServer]", "/webrtc/ice-servers").await;
    ask.post("SensorStreamStatus", &format!("{sensor}/stop"), None).await;
    ask.post("StreamStop", &format!("{device}/stream/stop"), None).await;
    ask.of("Success", 200, Method::DELETE, &format!("/webrtc/sessions/{session}"), None).await;
    ask.post("Noop", "/system/enable-metadata", None).await;

    for (status, method, route) in [
        (404, Method::GET, "/devices/000/status".to_owned()),
        (404, Method::POST, format!("{device}/sensors/batch/start")),
        (400, Method::POST, format!("{sensor}/start")),
        (501, Method::POST, format!("{device}/firmware/update_from_file")),
        (501, Method::POST, format!("{device}/hwm")),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        ask.of("Error", status, method, &route, body.as_ref()).await;
    }
    server.shutdown().await;
}
