//! Tests of `guard`.

use axum::{Router, body::Body, middleware, routing::get};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    config,
    error::Error,
    http::{access::*, errors::ApiError},
};

async fn answer_of(path: &str) -> (StatusCode, HeaderMap, serde_json::Value) {
    let router = Router::new()
        .route("/panic", get(async || -> &'static str { panic!("the secret of the handler") }))
        .route("/bug", get(async || ApiError::from(Error::internal("the secret of the bug"))))
        .route("/slow", get(std::future::pending::<&'static str>))
        .layer(middleware::from_fn_with_state(Duration::from_secs(60), finish));
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).expect("JSON"))
}

#[tokio::test]
async fn a_bug_and_a_panic_give_a_request_id_and_nothing_else() {
    for path in ["/panic", "/bug"] {
        let (status, headers, body) = answer_of(path).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let id = body["request_id"].as_str().expect("an id");
        assert_eq!(headers[REQUEST_ID], id);
        assert!(body["detail"].as_str().expect("a sentence").contains(id));
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_ended() {
    let (status, headers, body) = answer_of("/slow").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key(header::RETRY_AFTER));
    assert!(body["detail"].as_str().expect("a sentence").contains("60 s"), "{body}");
}

#[test]
fn a_slow_cameras_start_is_waited_for() {
    let mut config = config::Config::default();
    assert_eq!(request_timeout(&config), Duration::from_secs(60));
    config.camera.start_timeout_s = 120;
    assert_eq!(request_timeout(&config), Duration::from_secs(150));
}

fn access(origins: &[&str], token: &str) -> Arc<Access> {
    Access::new(&config::Server {
        allowed_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        token: token.into(),
        ..config::Server::default()
    })
}

#[test]
fn only_the_own_host_and_listed_origins_may_change_anything() {
    let may = |access: &Access, origin: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("cam.local:8000"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header value"));
        }
        access.may_change(&headers)
    };
    let own = access(&[], "");
    assert!(may(&own, None) && may(&own, Some("http://cam.local:8000")) && may(&own, Some("https://CAM.local:8000")));
    for origin in ["http://evil.example", "http://cam.local", "http://cam.local:8001", "null", "cam.local:8000"] {
        assert!(!may(&own, Some(origin)), "{origin}");
    }
    let listed = access(&["https://Panel.example/"], "");
    assert!(may(&listed, Some("https://panel.example")) && !may(&listed, Some("http://panel.example")));
    assert!(may(&access(&["*"], ""), Some("null")));
}

#[test]
fn on_loopback_only_the_own_and_listed_hosts_are_served() {
    let wrong = |access: &Access, host: &str| {
        let headers =
            HeaderMap::from_iter([(header::HOST, HeaderValue::from_bytes(host.as_bytes()).expect("a value"))]);
        access.wrong_host(&headers)
    };
    let listed = access(&["https://Robot.example/", "http://[fd00::5]:81"], "");
    for host in ["localhost:8000", "LOCALHOST.", "127.0.0.1", "[::1]:1", "[::1]", "robot.example:444", "[fd00::5]"] {
        assert_eq!(wrong(&listed, host), None, "{host}");
    }
    for host in ["evil.example:8000", "localhost.evil.example", "evil.example:80:localhost", "", "::1", "é"] {
        assert!(wrong(&listed, host).is_some(), "{host}");
    }
    assert_eq!(listed.wrong_host(&HeaderMap::new()), None);
    assert_eq!(wrong(&access(&["*"], ""), "evil.example"), None);
    let open = config::Server { listen: ([0, 0, 0, 0], 8000).into(), ..config::Server::default() };
    assert_eq!(wrong(&Access::new(&open), "cam.local"), None);
}

#[test]
fn default_ports_do_not_matter() {
    assert!(is_same_host("http://a.b", "a.b:80") && is_same_host("https://a.b:443", "a.b"));
    assert!(!is_same_host("https://a.b", "a.b:80"));
}

#[test]
fn a_token_is_found_in_header_and_query() {
    let access = access(&[], "s3cret&é");
    let of = |authorization: Option<&str>, uri: &str| {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        access.credential(&headers, &uri.parse().expect("a URI"))
    };
    assert_eq!(of(None, "/api/devices"), Credential::Missing);
    assert_eq!(of(None, "/api/devices?token=s3cret%26%C3%A9"), Credential::Good);
    assert_eq!(of(None, "/api/devices?token=s3cret"), Credential::Wrong);
    assert_eq!(of(Some("Bearer nope"), "/api/devices?token=s3cret%26%C3%A9"), Credential::Wrong);
    assert_eq!(of(Some("Basic abc"), "/api/devices"), Credential::Missing);
}

#[test]
fn the_administrators_token_counts_as_the_token() {
    let server = config::Server { token: "t".into(), admin_token: "a".into(), ..config::Server::default() };
    let access = Access::new(&server);
    assert_eq!(access.check_token("a"), Credential::Good);
    assert_eq!(access.check_token("t"), Credential::Good);
    for wrong in ["", "b", "ta", "at"] {
        assert_eq!(access.check_token(wrong), Credential::Wrong, "{wrong}");
    }
    let only_admin = Access::new(&config::Server { admin_token: "a".into(), ..config::Server::default() });
    assert_eq!(only_admin.credential(&HeaderMap::new(), &Uri::from_static("/api/devices")), Credential::Good);
}

#[test]
fn pages_health_and_the_description_need_no_token() {
    for path in ["/", "/webrtc_demo.html", "/docs", "/redoc", "/api/health", "/api/openapi.json"] {
        assert!(!needs_token(path), "{path}");
    }
    for path in ["/api/devices", "/api/webrtc/offer", "/socket/", "/socket", "/api/health/x"] {
        assert!(needs_token(path), "{path}");
    }
}
