//! Looking inside over REST: graphs, elements, and who may set what. The media side is scripted, so nothing runs.

use http::Method;
use realsense_webrtc::{
    config::Config,
    model::{DeviceId, Graph, GraphElement, GraphLink, GraphPipeline},
};
use serde_json::json;

use crate::common::{CAMERA, TestServer, config, send};

const ENCODER: &str = "/api/debug/elements/844212070924/color/h264/encoder";

fn guarded(token: &str, admin_token: &str, settable: &[&str]) -> Config {
    let mut config = config();
    config.server.token = token.into();
    config.server.admin_token = admin_token.into();
    config.debug.settable = settable.iter().map(|&entry| entry.to_owned()).collect();
    config
}

#[tokio::test]
async fn a_graph_comes_in_three_formats_and_is_never_cached() {
    let server = TestServer::start().await;
    for (extension, content_type, begins) in [
        ("json", "application/json", "{"),
        ("svg", "image/svg+xml", "<svg "),
        ("dot", "text/vnd.graphviz; charset=utf-8", "digraph "),
    ] {
        let answer = server.get(&format!("/api/debug/graph/{CAMERA}.{extension}?measure=0")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.text().starts_with(begins), "{}", answer.text());
        assert!(answer.text().contains(CAMERA), "{}", answer.text());
    }
    let graph = server.get(&format!("/api/debug/graph/{CAMERA}.json")).await.json();
    assert_eq!((graph["measured"].as_bool(), graph["pipelines"].as_array().map(Vec::len)), (Some(false), Some(0)));
    server.shutdown().await;
}

/// Chains of elements side by side, each linked to its neighbours': the layout is busy with that for a second and more.
fn large_graph() -> Graph {
    const WIDE: usize = 60;
    const LONG: usize = 30;
    let name = |chain: usize, at: usize| format!("element{}x{at}", chain % WIDE);
    let elements = (0..LONG).flat_map(|at| (0..WIDE).map(move |chain| (chain, at)));
    let elements = elements.map(|(chain, at)| GraphElement { name: name(chain, at), ..GraphElement::default() });
    let links = (1..LONG).flat_map(|at| (0..WIDE).flat_map(move |chain| [(chain, chain, at), (chain, chain + at, at)]));
    let links =
        links.map(|(from, to, at)| GraphLink { from: name(from, at - 1), to: name(to, at), ..GraphLink::default() });
    let (elements, links) = (elements.collect(), links.collect());
    let pipeline = GraphPipeline { id: "x".into(), elements, links, ..GraphPipeline::default() };
    Graph { device_id: Some(DeviceId::new(CAMERA)), pipelines: vec![pipeline], ..Graph::default() }
}

/// This test's runtime has one thread for everything, as the server has two on a small machine.
#[tokio::test]
async fn drawing_holds_up_nobody_else() {
    let server = TestServer::start().await;
    server.media.show_graph(large_graph());
    let path = format!("/api/debug/graph/{CAMERA}.svg");
    let address = server.address;
    let drawing = tokio::spawn(async move { send(address, Method::GET, &path, &[], Vec::new()).await });
    let mut answered = 0;
    while !drawing.is_finished() {
        assert_eq!(server.get("/api/health").await.status, 200);
        answered += 1;
    }
    let drawn = drawing.await.unwrap();
    assert_eq!(drawn.status, 200, "{}", drawn.text());
    assert!(drawn.text().contains("element7x7"));
    // On the only thread there would have been two or three: those that were sent before it began.
    assert!(answered > 20, "{answered} answers while the graph was drawn");
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_with_words() {
    let server = TestServer::start().await;
    for file in [CAMERA, "844212070924.png", "844212070924."] {
        let words = server.get(&format!("/api/debug/graph/{file}")).await.expect_error(400);
        assert!([".json", ".svg", ".dot"].iter().all(|format| words.contains(format)), "{words}");
    }
    for measure in ["601", "-1", "x", "1.5", ""] {
        let answer = server.get(&format!("/api/debug/graph/{CAMERA}.json?measure={measure}")).await;
        assert!(answer.expect_error(400).contains("0 to 600"), "{measure}");
    }
    for path in ["/api/debug/graph/000-000.x.json", "/api/debug/elements/nobody/color/h264/encoder"] {
        server.get(path).await.expect_error(404);
    }
    let words = server.get(&ENCODER.replace("color", "thermal")).await.expect_error(400);
    assert!(words.contains("infrared-1"), "{words}");
    let words = server.get(&ENCODER.replace("h264", "h265")).await.expect_error(400);
    assert!(words.contains("h264, vp8, vp9"), "{words}");
    // Both ways of writing it are the same; that it does not run is the media side's to say.
    for path in [ENCODER.to_owned(), ENCODER.replace("h264", "H264"), ENCODER.replace("encoder", "a%2Fb")] {
        server.get(&path).await.expect_error(404);
    }
    let graph = server.send(Method::POST, &format!("/api/debug/graph/{CAMERA}.json"), &[], "").await;
    graph.expect_error(405);
    server.shutdown().await;
}

async fn patch(server: &TestServer, token: Option<&str>, body: &str) -> crate::common::Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    server.send(Method::PATCH, ENCODER, &headers, body).await
}

#[tokio::test]
async fn without_an_administrators_token_nobody_sets_anything() {
    for token in ["", "user"] {
        let server = TestServer::with(guarded(token, "", &["encoder.bitrate"])).await;
        let words = patch(&server, Some("user"), r#"{"bitrate": 1500}"#).await.expect_error(403);
        assert!(words.contains("server.admin_token"), "{words}");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn only_administrators_set_and_only_what_is_listed() {
    let server = TestServer::with(guarded("user", "boss", &["encoder.bitrate", "encoder.tune"])).await;
    let body = r#"{"bitrate": 1500}"#;
    let answer = patch(&server, None, body).await;
    answer.expect_error(401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert!(patch(&server, Some("user"), body).await.expect_error(403).contains("server.admin_token"));
    patch(&server, Some("nobody"), body).await.expect_error(403);
    // Let through: nothing runs here that could take it.
    assert!(patch(&server, Some("boss"), body).await.expect_error(404).contains("encoder"));
    let words = patch(&server, Some("boss"), r#"{"bitrate": 1500, "threads": 4}"#).await.expect_error(403);
    assert!(words.contains("'encoder.threads'") && words.contains("encoder.bitrate, encoder.tune"), "{words}");
    patch(&server, Some("boss"), "[1]").await.expect_error(422);
    patch(&server, Some("boss"), "{").await.expect_error(415);
    // The administrators' token opens everything else as well; reading needs no more than the other.
    for token in ["boss", "user"] {
        let header = format!("Bearer {token}");
        let send = |path: &'static str| {
            let header = header.clone();
            let server = &server;
            async move { server.send(Method::GET, path, &[("authorization", &header)], "").await.status }
        };
        assert_eq!(send("/api/devices").await, 200, "{token}");
        assert_eq!(send("/api/debug/graph/844212070924.svg").await, 200, "{token}");
    }
    server.get(&format!("/api/debug/graph/{CAMERA}.json")).await.expect_error(401);
    assert_eq!(server.get(&format!("/api/debug/graph/{CAMERA}.json?token=boss")).await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn with_only_an_administrators_token_the_rest_stays_open() {
    let server = TestServer::with(guarded("", "boss", &["encoder.bitrate"])).await;
    assert_eq!(server.get("/api/devices").await.status, 200);
    assert_eq!(server.get(&format!("/api/debug/graph/{CAMERA}.json")).await.status, 200);
    patch(&server, None, r#"{"bitrate": 1}"#).await.expect_error(401);
    patch(&server, Some("wrong"), r#"{"bitrate": 1}"#).await.expect_error(403);
    patch(&server, Some("boss"), r#"{"bitrate": 1}"#).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_ask_to_patch() {
    let mut config = guarded("", "boss", &["encoder.bitrate"]);
    config.server.allowed_origins = vec!["https://panel.example".into()];
    let server = TestServer::with(config).await;
    let headers = [("origin", "https://panel.example"), ("access-control-request-method", "PATCH")];
    let answer = server.send(Method::OPTIONS, ENCODER, &headers, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH")));
    let evil =
        [("origin", "http://evil.example"), ("content-type", "application/json"), ("authorization", "Bearer boss")];
    server.send(Method::PATCH, ENCODER, &evil, &json!({"bitrate": 1}).to_string()).await.expect_error(403);
    server.shutdown().await;
}
