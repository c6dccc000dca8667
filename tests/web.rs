//! What surrounds the API: pages and their headers, the description, CORS, tokens, bounds on connections, the end.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{CAMERA, DEADLINE, JSON, TestServer, config};
use http::Method;
use realsense_webrtc::http::Limits;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn the_page_is_served_with_its_headers() {
    let server = TestServer::start().await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains(&format!("ws://{}", server.address)), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(server.get("/webrtc_demo.html").await.body, page.body);

    let etag = page.header("etag").unwrap();
    let again = server.send(Method::GET, "/", &[("if-none-match", etag)], "").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = server.send(Method::HEAD, "/webrtc_demo.html", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length").unwrap(), page.body.len().to_string());
    server.shutdown().await;
}

/// Everything the page names is there, with a type that browsers run.
#[tokio::test]
async fn what_the_pages_name_is_there() {
    let server = TestServer::start().await;
    for page in ["/", "/debug"] {
        names_what_is_there(&server, &server.get(page).await.text()).await;
    }
    server.shutdown().await;
}

async fn names_what_is_there(server: &TestServer, page: &str) {
    let mut found = 0;
    for attribute in ["src=\"", "href=\""] {
        for name in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            if name.starts_with('#') || name.starts_with("data:") || name.is_empty() {
                continue;
            }
            assert!(!name.contains("://"), "{name} is somewhere else");
            let answer = server.get(&format!("/{}", name.trim_start_matches('/'))).await;
            assert_eq!(answer.status, 200, "{name}");
            let kind = answer.header("content-type").unwrap();
            if name.ends_with(".js") {
                assert!(kind.starts_with("text/javascript"), "{name}: {kind}");
            }
            found += 1;
        }
    }
    assert!(found > 2);
}

/// The page for looking inside goes by a short address, under the same headers, and leads from the wrong one to the right.
#[tokio::test]
async fn the_page_for_looking_inside_is_served() {
    let server = TestServer::start().await;
    let page = server.get("/debug").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("content-security-policy"), server.get("/").await.header("content-security-policy"));
    assert_eq!(server.get("/debug.html").await.body, page.body);
    assert_eq!(server.get("/debug?device=1").await.body, page.body);
    let slash = server.get("/debug/?device=1").await;
    assert_eq!((slash.status, slash.header("location")), (308, Some("../debug?device=1")));
    assert_eq!(server.send(Method::POST, "/debug", &[], "").await.status, 405);
    assert!(server.get("/debugger").await.text().contains("/debug,"));
    server.shutdown().await;
}

#[tokio::test]
async fn nothing_outside_www_is_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    std::fs::write(folder.path().join("www/webrtc_demo.html"), "<p>mine").unwrap();
    let mut other = config();
    other.server.www_dir = folder.path().join("www").to_str().unwrap().to_owned();
    for server in [TestServer::start().await, TestServer::with(other).await] {
        for path in [
            "/../secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e/secret.txt",
            "/%2e%2e%2fsecret.txt",
            "/....//secret.txt",
            "/vendor/../../Cargo.toml",
            "/..\\secret.txt",
            "/%00",
            "//etc/passwd",
            "/etc/passwd",
            "/vendor",
            "/vendor/",
            "/nothing.html",
        ] {
            let answer = server.get(path).await;
            assert!(matches!(answer.status, 400 | 404), "{path}: {} {}", answer.status, answer.text());
            answer.expect_error(answer.status);
        }
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_folder_of_ones_own_is_served_instead() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("webrtc_demo.html"), "<p>mine").unwrap();
    std::fs::write(folder.path().join("a.js"), "1").unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let mut config = config();
    config.server.www_dir = folder.path().to_str().unwrap().to_owned();
    let server = TestServer::with(config).await;
    for path in ["/", "/webrtc_demo.html"] {
        let page = server.get(path).await;
        assert_eq!((page.status, page.text().as_str()), (200, "<p>mine"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        // Whoever writes the pages decides what they run; no other site may frame them.
        assert_eq!(page.header("content-security-policy"), Some("frame-ancestors 'self'"));
    }
    assert!(server.get("/a.js").await.header("content-type").unwrap().contains("javascript"));
    for path in ["/sub", "/sub/", "/b.js"] {
        server.get(path).await.expect_error(404);
    }
    server.send(Method::POST, "/a.js", &[], "").await.expect_error(405);
    // The API and its description do not come from that folder.
    assert_eq!(server.get("/api/health").await.status, 200);
    assert_eq!(server.get("/redoc").await.status, 200);
    assert_eq!(server.get("/redoc/redoc.standalone.js").await.status, 200);
    for page in ["/docs", "/redoc", "/debug"] {
        let policy = server.get(page).await.header("content-security-policy").unwrap().to_owned();
        assert!(policy.contains("default-src"), "{page} is built in: {policy}");
    }
    server.shutdown().await;
}

async fn with_folder(folder: &std::path::Path, policy: &str) -> TestServer {
    let mut config = config();
    config.server.www_dir = folder.to_str().unwrap().to_owned();
    config.server.content_security_policy = policy.to_owned();
    TestServer::with(config).await
}

#[tokio::test]
async fn the_start_page_of_a_folder_is_the_first_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_folder(folder.path(), "").await;
    let words = server.get("/").await.expect_error(404);
    assert!(
        ["webrtc_demo.html", "index.html", "server.www_dir", "/debug"].iter().all(|it| words.contains(it)),
        "{words}"
    );
    std::fs::write(folder.path().join("index.html"), "<script>document.title = 'ran'</script>").unwrap();
    let page = server.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    assert!(page.text().contains("ran"));
    assert_eq!(server.get("/webrtc_demo.html").await.body, page.body, "the page for looking inside leads there");
    std::fs::write(folder.path().join("webrtc_demo.html"), "<p>first").unwrap();
    assert_eq!(server.get("/?device=1").await.text(), "<p>first");
    let head = server.send(Method::HEAD, "/", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn a_folders_pages_may_have_a_policy_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>mine").unwrap();
    let policy = "default-src 'self'; frame-ancestors https://robot.example";
    let server = with_folder(folder.path(), policy).await;
    assert_eq!(server.get("/").await.header("content-security-policy"), Some(policy));
    let debug = server.get("/debug").await;
    assert!(debug.header("content-security-policy").unwrap().contains("frame-ancestors 'self'"));
    server.shutdown().await;
}

/// The page for looking inside is the built-in one, whatever a folder has of that name, and so is all that it names.
#[tokio::test]
async fn a_folder_does_not_take_the_page_for_looking_inside_along() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>mine").unwrap();
    std::fs::write(folder.path().join("debug.html"), "<p>old").unwrap();
    std::fs::create_dir_all(folder.path().join("js/debug")).unwrap();
    std::fs::write(folder.path().join("js/debug/main.js"), "old").unwrap();
    let (own, built_in) = (with_folder(folder.path(), "").await, TestServer::start().await);
    let page = own.get("/debug").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Look inside"));
    names_what_is_there(&own, &page.text()).await;
    for name in ["js/debug/main.js", "js/api.js", "css/debug.css", "img/icons.svg"] {
        let (ours, theirs) = (own.get(&format!("/debug/{name}")).await, built_in.get(&format!("/{name}")).await);
        assert_eq!((ours.status, ours.body), (200, theirs.body), "{name}");
    }
    // Neither is taken for the other by a browser that has one of them.
    let etag = page.header("etag").unwrap().to_owned();
    assert_ne!(built_in.get("/debug").await.header("etag"), Some(etag.as_str()));
    assert_eq!(own.send(Method::GET, "/debug", &[("if-none-match", &etag)], "").await.status, 304);
    let slash = own.get("/debug/").await;
    assert_eq!((slash.status, slash.header("location")), (308, Some("../debug")));
    own.get("/debug/js/nothing.js").await.expect_error(404);
    assert_eq!(own.get("/js/debug/main.js").await.text(), "old");
    own.shutdown().await;
    built_in.shutdown().await;
}

#[tokio::test]
async fn what_is_hidden_in_a_folder_and_what_cannot_be_a_file_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    std::fs::write(folder.path().join(".git/config"), "secret").unwrap();
    std::fs::write(folder.path().join(".env"), "secret").unwrap();
    let server = with_folder(folder.path(), "").await;
    let (deep, long) = (format!("/{}", "a/".repeat(3000)), format!("/{}", "a".repeat(300)));
    for path in ["/.git/config", "/%2egit/config", "/x%2f..%2f.env", "/.env", &deep, &long] {
        server.get(path).await.expect_error(404);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_description_works_offline() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    assert!(document.json()["openapi"].as_str().unwrap().starts_with("3."));
    assert_eq!(server.get("/api/v1/openapi.json/").await.body, document.body);
    for path in ["/docs", "/docs/", "/redoc", "/redoc/"] {
        let page = server.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
        let text = page.text();
        assert!(!text.contains("http://") && !text.contains("https://"), "{path} asks nobody else");
        for name in text.split(['"']).filter(|part| part.starts_with('/') && part.contains('.')) {
            let file = server.get(name).await;
            assert_eq!(file.status, 200, "{name}");
            assert!(!file.body.is_empty());
        }
        assert!(text.contains("init.js"));
    }
    for script in ["/docs/init.js", "/redoc/init.js"] {
        let text = server.get(script).await.text();
        assert!(text.contains("/api/openapi.json"), "{script}");
    }
    let redoc = server.get("/redoc/redoc.standalone.js").await.text();
    assert!(!redoc.contains("cdn.redoc.ly"));
    server.get("/docs/nothing.js").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn other_origins_get_cors_only_when_listed() {
    let mut listed = config();
    listed.server.allowed_origins = vec!["https://panel.example".into()];
    let mut all = config();
    all.server.allowed_origins = vec!["*".into()];
    for (config, origin, allowed) in [
        (config(), "https://panel.example", None),
        (listed.clone(), "https://panel.example", Some("https://panel.example")),
        (listed, "https://evil.example", None),
        (all, "https://evil.example", Some("*")),
    ] {
        let server = TestServer::with(config).await;
        let preflight = server
            .send(
                Method::OPTIONS,
                "/api/v1/webrtc/offer/",
                &[
                    ("origin", origin),
                    ("access-control-request-method", "POST"),
                    ("access-control-request-headers", "content-type"),
                ],
                "",
            )
            .await;
        assert_eq!(preflight.header("access-control-allow-origin"), allowed, "{origin}");
        if allowed.is_some() {
            assert_eq!(preflight.status, 200);
            assert!(preflight.header("access-control-allow-methods").unwrap().contains("DELETE"));
            assert!(preflight.header("access-control-allow-headers").unwrap().contains("content-type"));
        }
        for path in ["/api/health", "/api/nothing"] {
            let answer = server.send(Method::GET, path, &[("origin", origin)], "").await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin} {path}");
        }
        let socket = "/socket/?EIO=4&transport=polling";
        let answer = server.send(Method::GET, socket, &[("origin", origin)], "").await;
        assert_eq!(answer.status, if allowed.is_some() { 200 } else { 403 });
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin} {socket}");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_page_elsewhere_can_change_nothing() {
    let server = TestServer::start().await;
    let session = server.offer(&["color"]).await;
    let evil = ("origin", "http://evil.example");
    for (method, path) in [
        (Method::POST, format!("/api/devices/{CAMERA}/hw_reset")),
        (Method::POST, format!("/api/v1/devices/{CAMERA}/stream/stop/")),
        (Method::DELETE, "/api/webrtc/sessions".into()),
        (Method::DELETE, format!("/api/webrtc/sessions/{session}")),
        (Method::POST, "/api/webrtc/offer".into()),
    ] {
        let answer = server.send(method, &path, &[evil, JSON[0]], "{}").await;
        let detail = answer.expect_error(403);
        assert!(detail.contains("server.allowed_origins") && detail.contains("\"http://evil.example\""), "{detail}");
    }
    let nobody = server.send(Method::DELETE, "/api/webrtc/sessions", &[("origin", "null")], "").await;
    assert!(nobody.expect_error(403).contains("without an origin"));
    let own = format!("http://{}", server.address);
    let answer = server.send(Method::DELETE, "/api/webrtc/sessions", &[("origin", &own)], "").await;
    assert_eq!(answer.json(), json!({"closed_sessions": 1}));
    server.shutdown().await;
}

#[tokio::test]
async fn a_configured_token_is_asked_for() {
    let mut config = config();
    config.server.token = "s3cret".into();
    let server = TestServer::with(config).await;
    for path in ["/", "/docs", "/redoc", "/docs/swagger-ui.css", "/api/health", "/api/v1/health/", "/api/openapi.json"]
    {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in ["/api/devices", "/api/v1/devices/", "/api/webrtc/sessions", "/api/nothing"] {
        let answer = server.get(path).await;
        let detail = answer.expect_error(401);
        assert!(detail.contains("token"), "{detail}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let wrong = &[("authorization", "Bearer wrong")];
        server.send(Method::GET, path, wrong, "").await.expect_error(403);
        server.get(&format!("{path}?token=wrong")).await.expect_error(403);
    }
    let right = &[("authorization", "Bearer s3cret")];
    assert_eq!(server.send(Method::GET, "/api/devices", right, "").await.status, 200);
    assert_eq!(server.get("/api/devices?token=s3cret").await.status, 200);
    // A browser asks before it sends the token.
    let preflight = [("origin", "http://x.example"), ("access-control-request-method", "GET")];
    assert_eq!(server.send(Method::OPTIONS, "/api/devices", &preflight, "").await.status, 200);
    server.shutdown().await;
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("the server ends it");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn short() -> Limits {
    Limits { connections: 4, header_timeout: Duration::from_millis(300), ..Limits::default() }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_cut() {
    let server = TestServer::with_limits(config(), short()).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    // All places are taken; this one waits until a slow client was cut.
    assert_eq!(server.get("/api/health").await.status, 200);
    for mut stream in slow {
        read_all(&mut stream).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let limits = Limits { connections: 1, write_stall: Duration::from_millis(300), ..Limits::default() };
    let server = TestServer::with_limits(config(), limits).await;
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    // Far more than the buffers of two sockets hold.
    let request = "GET /redoc/redoc.standalone.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    deaf.write_all(request.as_bytes()).await.unwrap();
    // The only place is taken until the server gives up on the deaf client.
    let began = Instant::now();
    assert_eq!(server.get("/api/health").await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(200), "the place was taken");
    server.shutdown().await;
}

#[tokio::test]
async fn broken_http_is_answered_and_harms_nobody() {
    let server = TestServer::start().await;
    for text in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{0} HTTP/1.1\r\n\r\n",
        "POST /api/webrtc/offer HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /api/webrtc/offer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{text:?}: {answer}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // A body that breaks off is not waited for.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/webrtc/offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    read_all(&mut stream).await;
    // A declared length over the limit is refused without being read.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/webrtc/offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
    assert_eq!(server.get("/api/health").await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn the_end_waits_for_nobody_for_long() {
    let limits = Limits { drain: Duration::from_millis(500), ..Limits::default() };
    let server = TestServer::with_limits(config(), limits).await;
    let address = server.address;
    // One idle keep-alive connection, one whose body never comes.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut stuck = TcpStream::connect(address).await.unwrap();
    let head = "POST /api/webrtc/offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    stuck.write_all(head.as_bytes()).await.unwrap();
    let took = server.shutdown().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(TcpStream::connect(address).await.is_err(), "it listens no more");
    read_all(&mut idle).await;
    read_all(&mut stuck).await;
}
