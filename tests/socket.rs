//! Socket.IO over a real socket, by both transports: welcome, metadata, point cloud, tokens, limits, the end.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use common::{CAMERA, DEADLINE, TestServer, config, send};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest},
};

/// A Socket.IO client on a WebSocket, down to the packets.
struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    async fn open(server: &TestServer, query: &str) -> Self {
        Self::try_open(server, query, &[]).await.unwrap()
    }

    async fn try_open(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> Result<Self, tungstenite::Error> {
        let stream = TcpStream::connect(server.address).await?;
        let url = format!("ws://{}/socket/?EIO=4&transport=websocket{query}", server.address);
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { socket })
    }

    /// Joins the default namespace and waits for the server's word.
    async fn join(server: &TestServer) -> Self {
        let mut client = Self::open(server, "").await;
        assert!(client.connect("").await.is_ok());
        let data = client.wait("welcome", |_| true).await;
        assert!(data["message"].as_str().is_some_and(|text| !text.is_empty()), "{data}");
        client
    }

    /// Sends the connect packet; gives the error the server answers with, if it does.
    async fn connect(&mut self, auth: &str) -> Result<(), Value> {
        self.socket.send(Message::text(format!("40{auth}"))).await.unwrap();
        loop {
            let text = self.text().await.expect("an answer");
            if text.starts_with("40") {
                return Ok(());
            }
            if let Some(error) = text.strip_prefix("44") {
                return Err(serde_json::from_str(error).unwrap());
            }
        }
    }

    /// The next text packet, pings answered; `None` when the server closed.
    async fn text(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a packet in time");
            match next {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                    self.socket.send(Message::text("3")).await.unwrap();
                }
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next event.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let text = self.text().await.expect("an event, not the end");
            if let Some(event) = text.strip_prefix("42") {
                let mut parts: Vec<Value> = serde_json::from_str(event).unwrap();
                let data = if parts.len() > 1 { parts.remove(1) } else { Value::Null };
                return (parts[0].as_str().unwrap().to_owned(), data);
            }
        }
    }

    /// The next event of this name for which `wanted` holds.
    async fn wait(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let (event, data) = self.event().await;
                if event == name && wanted(&data) {
                    return data;
                }
            }
        };
        tokio::time::timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("no such {name} in time"))
    }
}

async fn start_depth(server: &TestServer, device: &str) {
    let body = json!({"configs": [{
        "sensor_id": format!("{device}-sensor-0"), "stream_type": "depth", "format": "z16",
        "resolution": {"width": 640, "height": 480}, "framerate": 30
    }]});
    let answer = server.post(&format!("/api/devices/{device}/stream/start"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn metadata_flows_while_a_device_streams() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    start_depth(&server, CAMERA).await;
    let update = client.wait("metadata_update", |data| data["metadata_streams"]["depth"].is_object()).await;
    assert_eq!(update["device_id"], CAMERA);
    assert_eq!(update["is_streaming"], true);
    assert!(update["timestamp_server"].as_f64().unwrap() > 1.7e9);
    let depth = &update["metadata_streams"]["depth"];
    assert_eq!((&depth["stream_type"], &depth["width"], &depth["height"]), (&json!("depth"), &json!(640), &json!(480)));
    assert!(depth["timestamp"].is_number() && depth["frame_number"].is_u64());
    assert_eq!((&depth["timestamp_domain"], &depth["metadata"]["gain_level"]), (&json!("global_time"), &json!(16)));
    assert!(depth.get("point_cloud").is_none() && depth.get("motion_data").is_none());
    for (name, other) in
        [("timestamp_domain", "clock_domain"), ("metadata", "frame_metadata"), ("format", "pixel_format")]
    {
        assert_eq!(depth[name], depth[other], "{name} by both names");
    }
    assert_eq!(
        ["hardware_fps", "hardware_width", "hardware_height"].map(|name| depth[name].clone()),
        [json!(30), json!(640), json!(480)]
    );

    // At most 30 a second; the bound leaves room for nothing else, the lower one for a loaded machine.
    let began = Instant::now();
    let mut numbers = Vec::new();
    while numbers.len() < 20 {
        let update = client.wait("metadata_update", |_| true).await;
        numbers.extend(update["metadata_streams"]["depth"]["frame_number"].as_u64());
    }
    let rate = 19.0 / began.elapsed().as_secs_f64();
    assert!(rate < 31.0, "{rate:.1} updates a second");
    assert!(numbers.windows(2).all(|two| two[0] <= two[1]), "{numbers:?}");

    assert_eq!(server.post_nothing(&format!("/api/devices/{CAMERA}/stream/stop")).await.status, 200);
    let last = client.wait("metadata_update", |data| data["is_streaming"] == false).await;
    assert_eq!(last["metadata_streams"], json!({}));
    server.shutdown().await;
}

#[tokio::test]
async fn the_point_cloud_comes_only_while_it_is_wanted() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    start_depth(&server, CAMERA).await;
    let cloud = |data: &Value| data["metadata_streams"]["depth"]["point_cloud"].clone();
    client.wait("metadata_update", |data| data["metadata_streams"]["depth"].is_object() && cloud(data).is_null()).await;
    server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/activate")).await;
    let update = client.wait("metadata_update", |data| cloud(data).is_object()).await;
    let bytes = STANDARD.decode(cloud(&update)["vertices"].as_str().unwrap()).unwrap();
    assert_eq!(cloud(&update)["texture_coordinates"], json!([]));
    assert!(cloud(&update).get("colors").is_none(), "colour does not run");
    assert!(bytes.len() % 12 == 0 && (5000 * 12..=60_000 * 12).contains(&bytes.len()), "{}", bytes.len());
    let far = bytes
        .chunks_exact(12)
        .map(|point| f32::from_le_bytes(point[8..].try_into().unwrap()))
        .fold(0.0f32, |far, z| far.max(z));
    assert!((0.2..20.0).contains(&far), "the farthest point is {far} m away");
    server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/deactivate")).await;
    client.wait("metadata_update", |data| data["metadata_streams"]["depth"].is_object() && cloud(data).is_null()).await;
    server.shutdown().await;
}

impl Client {
    async fn emit(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).await.unwrap();
    }

    /// The answer to an event that was emitted with this number.
    async fn ack(&mut self, number: u32) -> Value {
        let begin = format!("43{number}");
        loop {
            let text = self.text().await.expect("an answer");
            if let Some(answer) = text.strip_prefix(&begin) {
                return serde_json::from_str::<Vec<Value>>(answer).unwrap().remove(0);
            }
        }
    }

    /// The updates of so long a time: how many, how many with a cloud, and the bytes of the clouds.
    async fn listen(&mut self, time: Duration) -> (usize, usize, usize) {
        let (mut updates, mut clouds, mut bytes) = (0, 0, 0);
        let listening = async {
            loop {
                let update = self.wait("metadata_update", |_| true).await;
                let cloud = &update["metadata_streams"]["depth"]["point_cloud"];
                updates += 1;
                clouds += usize::from(cloud.is_object());
                bytes += cloud.to_string().len();
            }
        };
        drop(tokio::time::timeout(time, listening).await);
        (updates, clouds, bytes)
    }
}

#[tokio::test]
async fn a_cloud_has_the_colours_of_the_picture() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/activate")).await;
    server.offer(&["color", "depth"]).await;
    let cloud = |data: &Value| data["metadata_streams"]["depth"]["point_cloud"].clone();
    let update = client.wait("metadata_update", |data| cloud(data)["colors"].is_string()).await;
    let bytes = |name: &str| STANDARD.decode(cloud(&update)[name].as_str().unwrap()).unwrap();
    let (points, colors) = (bytes("vertices").len() / 12, bytes("colors"));
    assert_eq!(colors.len(), points * 3);
    // The colour camera sees 54 by 42 degrees at this shape, the depth camera 73 by 58: less than half of the points.
    let grey = colors.chunks_exact(3).filter(|color| **color == [128, 128, 128]).count();
    assert!((30..70).contains(&(grey * 100 / points)), "{grey} of {points} points are not seen");
    let vivid = colors.chunks_exact(3).filter(|color| color[0].abs_diff(color[2]) > 40).count();
    assert!(vivid * 100 > points, "{vivid} of {points} points have a colour");
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_gets_as_much_as_it_asks_for() {
    let server = TestServer::start().await;
    server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/activate")).await;
    let mut all = Client::join(&server).await;
    let mut few = Client::join(&server).await;
    let mut bare = Client::join(&server).await;
    few.emit(r#"421["metadata_rate",{"hz":2}]"#).await;
    assert_eq!(few.ack(1).await, json!({"hz": 2.0, "point_cloud": true}));
    bare.emit(r#"42["metadata_rate",{"point_cloud":false}]"#).await;
    for bad in [r#"{"hz":31}"#, r#"{"hz":-1}"#, r#"{"hz":"fast"}"#, r#"{"point_cloud":1}"#, "7"] {
        bare.emit(&format!("427[\"metadata_rate\",{bad}]")).await;
        let answer = bare.ack(7).await;
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("0 to 30")), "{bad}: {answer}");
    }
    start_depth(&server, CAMERA).await;
    for client in [&mut all, &mut few, &mut bare] {
        client.wait("metadata_update", |data| data["metadata_streams"]["depth"].is_object()).await;
    }
    let time = Duration::from_secs(2);
    let ((every, clouds, bytes), (some, ..), (plain, none, _)) =
        tokio::join!(all.listen(time), few.listen(time), bare.listen(time));
    // The upper bounds hold always; the lower ones leave room for a machine that has other things to do.
    assert!((15..=66).contains(&every) && (15..=66).contains(&plain), "{every}, {plain}");
    assert!((5..=22).contains(&clouds) && none == 0, "{clouds}, {none}");
    assert!((1..=6).contains(&some), "{some}");
    assert!(bytes < 9_000_000, "{bytes} bytes of clouds in two seconds");
    few.emit(r#"422["metadata_rate",{"hz":0}]"#).await;
    assert_eq!(few.ack(2).await, json!({"hz": 0.0, "point_cloud": true}));
    assert_eq!(few.listen(Duration::from_millis(700)).await, (0, 0, 0));
    server.shutdown().await;
}

/// The newest cloud comes once the one before was taken: of many that were made meanwhile none lies in a queue.
#[tokio::test]
async fn a_client_that_was_away_finds_no_old_clouds() {
    let server = TestServer::start().await;
    let mut away = Client::join(&server).await;
    let mut there = Client::join(&server).await;
    server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/activate")).await;
    start_depth(&server, CAMERA).await;
    let (_, made, _) = there.listen(Duration::from_secs(3)).await;
    assert!(made >= 8, "{made} clouds in three seconds");
    let newest = there.wait("metadata_update", |data| data["metadata_streams"]["depth"]["frame_number"].is_u64()).await;
    let newest = newest["metadata_streams"]["depth"]["frame_number"].as_u64().unwrap();
    let mut old = 0;
    loop {
        let update = away.wait("metadata_update", |data| data["metadata_streams"]["depth"].is_object()).await;
        let depth = &update["metadata_streams"]["depth"];
        if depth["frame_number"].as_u64().unwrap() >= newest {
            break;
        }
        old += usize::from(depth["point_cloud"].is_object());
    }
    assert!(old <= 3, "{old} old clouds of {made}");
    server.shutdown().await;
}

#[tokio::test]
async fn motion_comes_with_its_data() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    let sensors = server.get(&format!("/api/devices/{CAMERA}/sensors")).await.json();
    let motion = sensors.as_array().unwrap().iter().find(|sensor| sensor["name"] == "Motion Module").unwrap();
    let configs: Vec<_> = motion["supported_stream_profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| {
            json!({"sensor_id": motion["sensor_id"], "stream_type": profile["stream_type"],
                "format": profile["formats"][0], "resolution": {"width": 0, "height": 0},
                "framerate": profile["fps"][0]})
        })
        .collect();
    let answer = server.post(&format!("/api/devices/{CAMERA}/stream/start"), &json!({"configs": configs})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let update = client
        .wait("metadata_update", |data| {
            let streams = &data["metadata_streams"];
            streams["gyro"].is_object() && streams["accel"].is_object()
        })
        .await;
    let accel = &update["metadata_streams"]["accel"]["motion_data"];
    let norm = ["x", "y", "z"].iter().map(|axis| accel[axis].as_f64().unwrap().powi(2)).sum::<f64>().sqrt();
    assert!((5.0..15.0).contains(&norm), "gravity is there: {accel}");
    assert!(update["metadata_streams"]["gyro"]["motion_data"]["x"].is_number());
    server.shutdown().await;
}

#[tokio::test]
async fn every_device_has_its_updates() {
    let mut config = config();
    config.camera.sim_cameras = realsense_webrtc::config::SimCameras::Count(3);
    let server = TestServer::with(config).await;
    let mut client = Client::join(&server).await;
    let devices = ["844212070924", "844212070925", "844212070926"];
    for device in devices {
        start_depth(&server, device).await;
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let search = async {
        while devices.iter().any(|device| seen.get(*device).copied().unwrap_or(0) < 10) {
            let update = client.wait("metadata_update", |_| true).await;
            *seen.entry(update["device_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    };
    tokio::time::timeout(DEADLINE, search).await.expect("ten updates of every device");
    server.shutdown().await;
}

#[tokio::test]
async fn polling_works_as_well() {
    let server = TestServer::start().await;
    let path = "/socket/?EIO=4&transport=polling";
    let opened = server.get(path).await;
    assert_eq!(opened.status, 200);
    let handshake: Value = serde_json::from_str(opened.text().strip_prefix('0').unwrap()).unwrap();
    assert!(handshake["upgrades"].as_array().unwrap().contains(&json!("websocket")));
    let path = format!("{path}&sid={}", handshake["sid"].as_str().unwrap());
    let posted = server.send(Method::POST, &path, &[("content-type", "text/plain;charset=UTF-8")], "40").await;
    assert_eq!((posted.status, posted.text().as_str()), (200, "ok"));
    start_depth(&server, CAMERA).await;
    let mut packets = String::new();
    let poll = async {
        while !(packets.contains("welcome") && packets.contains("metadata_update") && packets.contains("\"depth\"")) {
            packets.push_str(&server.get(&path).await.text());
            packets.push('\u{1e}');
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.expect("welcome and metadata by polling");
    // A ping may come before it when the camera took its time to start.
    assert!(packets.split('\u{1e}').any(|packet| packet.starts_with("40{\"sid\":")), "{packets}");
    server.shutdown().await;
}

#[tokio::test]
async fn changes_of_sessions_are_told() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    let session = server.offer(&["color"]).await;
    let told = client.wait("sessions_changed", |data| data["sessions"] == 1).await;
    server.delete(&format!("/api/webrtc/sessions/{session}")).await;
    let later = client.wait("sessions_changed", |data| data["sessions"] == 0).await;
    assert!(later["revision"].as_u64() > told["revision"].as_u64());
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_delays_nobody() {
    let server = TestServer::start().await;
    // Joins and never reads again: soon its socket takes no more.
    let mut deaf = Client::join(&server).await;
    deaf.socket.flush().await.unwrap();
    let mut client = Client::join(&server).await;
    server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/activate")).await;
    start_depth(&server, CAMERA).await;
    client.wait("metadata_update", |data| data["metadata_streams"]["depth"]["point_cloud"].is_object()).await;
    // About 300 KB a cloud: what a hundred updates carry is far more than a socket's buffers hold.
    let mut slowest = Duration::ZERO;
    let mut last = Instant::now();
    for _ in 0..100 {
        client.wait("metadata_update", |_| true).await;
        slowest = slowest.max(last.elapsed());
        last = Instant::now();
    }
    assert!(slowest < Duration::from_secs(2), "an update took {slowest:?}");
    assert_eq!(server.get("/api/health").await.status, 200);
    drop(deaf);
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_is_asked_of_sockets_too() {
    let mut config = config();
    config.server.token = "s3cret".into();
    let server = TestServer::with(config).await;
    let mut client = Client::open(&server, "").await;
    let error = client.connect("").await.expect_err("no token");
    assert!(error["message"].as_str().unwrap().contains("token"), "{error}");
    let mut client = Client::open(&server, "").await;
    client.connect("{\"token\":\"wrong\"}").await.expect_err("a wrong token");
    let mut client = Client::open(&server, "").await;
    client.connect("{\"token\":\"s3cret\"}").await.unwrap();
    let mut client = Client::open(&server, "&token=s3cret").await;
    client.connect("").await.unwrap();
    client.wait("welcome", |_| true).await;
    let refused = Client::try_open(&server, "&token=wrong", &[]).await.err().expect("refused");
    assert!(matches!(refused, tungstenite::Error::Http(answer) if answer.status() == 403));
    server.shutdown().await;
}

#[tokio::test]
async fn a_page_elsewhere_gets_no_socket() {
    let server = TestServer::start().await;
    let refused = Client::try_open(&server, "", &[("origin", "http://evil.example")]).await.err().expect("refused");
    assert!(matches!(refused, tungstenite::Error::Http(answer) if answer.status() == 403));
    let own = format!("http://{}", server.address);
    assert!(Client::try_open(&server, "", &[("origin", &own)]).await.is_ok());
    server.shutdown().await;
}

/// A site that lets its own name lead to 127.0.0.1 is of the server's origin; only the host tells it apart.
#[tokio::test]
async fn a_page_whose_name_was_rebound_to_this_server_gets_nothing() {
    let server = TestServer::start().await;
    let bent = [("host", "evil.example:8000"), ("origin", "http://evil.example:8000")];
    let polled = server.send(Method::GET, "/socket/?EIO=4&transport=polling", &bent, "").await;
    assert!(polled.expect_error(403).contains("server.allowed_origins"));
    for path in ["/", "/api/devices", "/api/health"] {
        server.send(Method::GET, path, &bent[..1], "").await.expect_error(403);
    }
    server.shutdown().await;
    let mut listed = config();
    listed.server.allowed_origins = vec!["https://robot.example".into()];
    let server = TestServer::with(listed).await;
    let proxied = [("host", "robot.example"), ("origin", "https://robot.example")];
    assert_eq!(server.send(Method::GET, "/socket/?EIO=4&transport=polling", &proxied, "").await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn clients_are_bounded_and_places_come_back() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    let mut refused = 0;
    while refused == 0 && clients.len() <= 200 {
        match Client::try_open(&server, "", &[]).await {
            Ok(mut client) => match client.connect("").await {
                Ok(()) => clients.push(client),
                Err(error) => {
                    assert!(error["message"].as_str().unwrap().contains("Too many"), "{error}");
                    refused += 1;
                }
            },
            // New connections are bounded in rate as well.
            Err(tungstenite::Error::Http(answer)) => {
                assert_eq!(answer.status(), 503);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(clients.len(), 200);
    clients.pop().unwrap().socket.close(None).await.unwrap();
    common::eventually("a place is free again", async || match Client::try_open(&server, "", &[]).await {
        Ok(mut client) => client.connect("").await.ok(),
        Err(_) => None,
    })
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    for garbage in
        ["9", "4", "42[", "42{\"a\":1}", "451-[\"x\",{\"_placeholder\":true,\"num\":0}]", "40/other,", "\u{0}"]
    {
        let mut other = Client::open(&server, "").await;
        let _ = other.connect("").await;
        let _ = other.socket.send(Message::text(garbage)).await;
        let _ = other.socket.send(Message::binary(vec![0xff; 100])).await;
    }
    let mut other = Client::open(&server, "").await;
    let _ = other.socket.send(Message::text("4".repeat(70_000))).await;
    assert!(other.text().await.is_none_or(|text| !text.starts_with("40")), "too large a message ends it");
    for (path, body) in [("/socket/?EIO=4&transport=polling&sid=nobody", "40"), ("/socket/?EIO=9", ""), ("/socket", "")]
    {
        let answer = send(server.address, Method::POST, path, &[], body.into()).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    start_depth(&server, CAMERA).await;
    client.wait("metadata_update", |data| data["is_streaming"] == true).await;
    server.shutdown().await;
}

#[tokio::test]
async fn the_end_is_announced_and_quick() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    start_depth(&server, CAMERA).await;
    client.wait("metadata_update", |_| true).await;
    server.begin_shutdown();
    let data = client.wait("server_shutdown", |_| true).await;
    assert!(data["message"].is_string());
    while client.text().await.is_some() {}
    let took = server.shutdown().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn hot_plug_and_restarts_are_told() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    let fault = async |name: &str| {
        let path = format!("/api/sim/devices/{CAMERA}/fault");
        assert_eq!(server.post(&path, &json!({"fault": name})).await.status, 200);
    };
    fault("unplug").await;
    let went = client.wait("devices_changed", |_| true).await;
    assert_eq!(went, json!({"added": [], "removed": [CAMERA]}));
    fault("replug").await;
    let came = client.wait("devices_changed", |_| true).await;
    assert_eq!(came, json!({"added": [CAMERA], "removed": []}));
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}/sensors")).await.status, 200, "it can be used at once");

    server.offer(&["depth"]).await;
    let config =
        json!({"stream_type": "depth", "format": "z16", "resolution": {"width": 848, "height": 480}, "framerate": 15});
    let path = format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/start");
    assert_eq!(server.post(&path, &json!({"config": config})).await.status, 200);
    let told = client.wait("stream_restarted", |_| true).await;
    assert_eq!(
        told,
        json!({"device_id": CAMERA, "stream_type": "depth", "profile": {"width": 848, "height": 480, "framerate": 15}})
    );
    server.shutdown().await;
}

#[tokio::test]
async fn what_somebody_sets_is_told_to_everybody() {
    let server = TestServer::start().await;
    let mut client = Client::join(&server).await;
    let put = async |id: &str, value: f64| {
        let path = format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/{id}");
        assert_eq!(server.put(&path, &json!({"value": value})).await.status, 200);
    };
    // The first reading, of which everything else is a change, is made once somebody listens.
    let exposure = async {
        let mut value = 1000.0;
        loop {
            put("exposure", value).await;
            value += 1.0;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let told = tokio::select! {
        told = client.wait("options_changed", |data| data["options"]["exposure"].is_number()) => told,
        () = exposure => unreachable!("it goes on"),
    };
    assert_eq!((&told["device_id"], &told["sensor_id"]), (&json!(CAMERA), &json!(format!("{CAMERA}-sensor-0"))));
    // What a filter is set to is told as well, and what else changed with it.
    put("threshold_min", 5.0).await;
    let told = client.wait("options_changed", |data| data["options"]["threshold_min"].is_number()).await;
    assert_eq!(told["options"], json!({"threshold_min": 5.0, "threshold_max": 16.0}));
    server.shutdown().await;
}
