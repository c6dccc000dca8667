//! Pipeline files over the API: the list, and reading one again.

use super::common::TestServer;

#[tokio::test]
async fn pipelines_are_listed_and_read_again_and_a_fault_is_told_in_parts() {
    let server = TestServer::start().await;
    let list = server.get("/api/pipelines").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.json()[0]["name"], "color.h264");
    assert_eq!(list.json()[1]["fault"]["line"], 18);
    let good = server.post_nothing("/api/v1/pipelines/color.h264/reload/").await;
    assert_eq!((good.status, &good.json()["state"]), (200, &"works".into()));
    let broken = server.post_nothing("/api/pipelines/color.vp8/reload").await;
    assert_eq!(broken.status, 400);
    let body = broken.json();
    assert_eq!(
        body["detail"],
        "pipelines/color.vp8.gst:18:3: there is no GStreamer element 'vp88enc'; the nearest is vp8enc"
    );
    assert_eq!((&body["fault"]["column"], &body["fault"]["token"]), (&3.into(), &"vp88enc".into()));
    assert_eq!(body["fault"]["nearest"], "vp8enc");
    for name in ["nosuch.h264", "..%2f..%2fetc%2fpasswd", ".hidden", &"x".repeat(300)] {
        let unknown = server.post_nothing(&format!("/api/pipelines/{name}/reload")).await;
        assert_eq!(unknown.status, 404, "{name}");
        assert!(unknown.json()["detail"].as_str().unwrap().contains("pipeline"), "{name}");
    }
    assert_eq!(server.get("/api/pipelines/color.h264/reload").await.status, 405);
    server.shutdown().await;
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_a_bug_and_not_the_end_of_the_server() {
    let server = TestServer::start().await;
    server.media.drop_questions();
    for path in ["/api/pipelines", "/api/debug/graph/844212070924.json"] {
        let answer = server.get(path).await;
        let words = answer.expect_error(500);
        assert!(words.contains("request id") && !words.contains("shutting down"), "{words}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
    }
    server.post_nothing("/api/pipelines/color.h264/reload").await.expect_error(500);
    server.shutdown().await;
}

#[tokio::test]
async fn at_the_end_of_the_server_the_end_is_told() {
    let server = TestServer::start().await;
    server.media.drop_questions();
    server.handle.shutdown().await;
    for path in ["/api/pipelines", "/api/webrtc/sessions", "/api/debug/graph/844212070924.json"] {
        let words = server.get(path).await.expect_error(503);
        assert!(words.contains("shutting down"), "{path}: {words}");
    }
    // A second one waits for the same end.
    server.shutdown().await;
}
