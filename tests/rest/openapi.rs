//! The OpenAPI document says what really comes: every name in it stands for one type, and real answers fit their schemas.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use http::Method;
use serde_json::{Value, json};

use super::{
    ROUTES,
    common::{CAMERA, JSON, TestServer},
    depth_start, offer,
};

/// What is wrong with a value, by a schema of the document; nothing when it fits. Knows as much of JSON Schema as the
/// document uses.
pub(super) fn misfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let check = |schema: &Value, value: &Value, at: &str| misfit(document, schema, value, at);
    if let Some(name) = schema["$ref"].as_str() {
        let found = &document["components"]["schemas"][name.rsplit('/').next().unwrap()];
        assert!(found.is_object(), "{name} is not described");
        return check(found, value, at);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(kinds) = schema[key].as_array() {
            let fitting = kinds.iter().any(|kind| check(kind, value, at).is_none());
            return (!fitting).then(|| format!("{at}: {value} is none of {kinds:?}"));
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        return check(&merged(document, all), value, at);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        // Anything at all.
        _ => return None,
    };
    let is_a = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("an unknown type {other}"),
    };
    if !kinds.iter().any(is_a) {
        return Some(format!("{at}: {value} is no {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|listed| !listed.contains(value)) {
        return Some(format!("{at}: {value} is not listed"));
    }
    if let Some(fields) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(missing) = required.into_iter().find(|name| !fields.contains_key(*name)) {
            return Some(format!("{at}: '{missing}' is missing"));
        }
        let described = schema["properties"].as_object();
        return fields.iter().find_map(|(name, value)| match described.and_then(|described| described.get(name)) {
            Some(schema) => check(schema, value, &format!("{at}.{name}")),
            // An object with fields of its own has no others; a map says what its values are.
            None if schema["additionalProperties"] == true => None,
            None if schema["additionalProperties"].is_object() => {
                check(&schema["additionalProperties"], value, &format!("{at}.{name}"))
            }
            None => described.is_some().then(|| format!("{at}: '{name}' is not described")),
        });
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    items.into_iter().find_map(|(index, item)| check(&schema["items"], item, &format!("{at}[{index}]")))
}

/// One schema of an object with the fields of all of these.
fn merged(document: &Value, all: &[Value]) -> Value {
    let mut whole = json!({"type": "object", "required": [], "properties": {}});
    for part in all {
        let part = match part["$ref"].as_str() {
            Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
            None => part,
        };
        assert_eq!(part["type"], "object", "the document uses allOf for objects only");
        whole["required"].as_array_mut().unwrap().extend(part["required"].as_array().into_iter().flatten().cloned());
        let fields = part["properties"].as_object().into_iter().flatten();
        whole["properties"].as_object_mut().unwrap().extend(fields.map(|(name, field)| (name.clone(), field.clone())));
    }
    whole
}

#[test]
fn the_judge_of_schemas_finds_what_does_not_fit() {
    let document = json!({"components": {"schemas": {
        "Part": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "Base": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}}});
    let schema = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}}, "b": {"type": ["string", "null"]}}});
    for good in [json!({"a": []}), json!({"a": ["x", 1], "b": null})] {
        assert_eq!(misfit(&document, &schema, &good, "it"), None);
    }
    let both = json!({"allOf": [{"$ref": "#/components/schemas/Base"},
        {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}]});
    assert_eq!(misfit(&document, &both, &json!({"a": 1, "b": "x"}), "it"), None);
    for (bad, words) in
        [(json!({"b": "x"}), "'a'"), (json!({"a": 1}), "'b'"), (json!({"a": 1, "b": "x", "c": 1}), "'c'")]
    {
        assert!(misfit(&document, &both, &bad, "it").expect("a misfit").contains(words));
    }
    for (bad, words) in [
        (json!({"b": "x"}), "'a' is missing"),
        (json!({"a": [1.5]}), "it.a[0]"),
        (json!({"a": [], "b": 1}), "it.b"),
        (json!({"a": [], "c": 1}), "'c' is not described"),
        (json!([]), "object"),
    ] {
        let told = misfit(&document, &schema, &bad, "it").expect("a misfit");
        assert!(told.contains(words), "{told}");
    }
}

/// Asks, and holds the answer against what the document says of this route and status.
async fn judge(
    server: &TestServer,
    document: &Value,
    method: &str,
    route: &str,
    path: &str,
    body: Option<&Value>,
) -> u16 {
    let headers = if body.is_some() { JSON } else { &[] };
    let body = body.map(ToString::to_string).unwrap_or_default();
    let answer = server.send(method.parse().unwrap(), path, headers, &body).await;
    let said = &document["paths"][route][method.to_lowercase()]["responses"][answer.status.to_string()];
    assert!(said.is_object(), "{method} {path} answers {}, which is not documented: {}", answer.status, answer.text());
    if let Some(schema) = said["content"]["application/json"].get("schema") {
        let misfit = misfit(document, schema, &answer.json(), "body");
        assert_eq!(misfit, None, "{method} {path}: {} {}", answer.status, answer.text());
    }
    answer.status
}

/// Method and route, the address, a body, and the status that is expected.
type Asked<'a> = ((&'a str, &'a str), String, Option<&'a Value>, u16);

#[tokio::test]
async fn real_answers_are_as_the_document_says() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.json();
    let session = server.offer(&["color", "depth"]).await;
    let device = format!("/api/devices/{CAMERA}");
    let sensor = format!("{device}/sensors/{CAMERA}-sensor-0");
    let element = format!("/api/debug/elements/{CAMERA}/color/h264/encoder");
    let mut misplaced = depth_start(640, 480, 30);
    misplaced["configs"][0]["framerate"] = json!("fast");
    let (start, color) = (depth_start(640, 480, 30), offer(&["color"]));
    let one = json!({"config": start["configs"][0]});
    let answer = json!({"session_id": session, "sdp": "v=0", "type": "answer"});
    let route = |method: &'static str, route: &'static str| (method, route);
    let asked: Vec<Asked<'_>> = vec![
        (route("GET", "/api"), "/api".into(), None, 200),
        (route("GET", "/api/health"), "/api/health".into(), None, 200),
        (route("GET", "/api/devices"), "/api/devices".into(), None, 200),
        (route("GET", "/api/devices"), "/api/devices?force_refresh=a&force_refresh=b".into(), None, 400),
        (route("GET", "/api/devices"), "/api/devices?force_refresh=perhaps".into(), None, 422),
        (route("GET", "/api/devices/{device_id}"), device.clone(), None, 200),
        (route("GET", "/api/devices/{device_id}"), "/api/devices/nobody".into(), None, 404),
        (route("GET", "/api/devices/{device_id}/sensors"), format!("{device}/sensors"), None, 200),
        (route("GET", "/api/devices/{device_id}/sensors/{sensor_id}/options"), format!("{sensor}/options"), None, 200),
        (route("POST", "/api/devices/{device_id}/stream/start"), format!("{device}/stream/start"), Some(&start), 200),
        (
            route("POST", "/api/devices/{device_id}/stream/start"),
            format!("{device}/stream/start"),
            Some(&misplaced),
            422,
        ),
        (route("GET", "/api/devices/{device_id}/stream/status"), format!("{device}/stream/status"), None, 200),
        (route("POST", "/api/devices/{device_id}/stream/stop"), format!("{device}/stream/stop"), None, 200),
        (
            route("POST", "/api/devices/{device_id}/sensors/{sensor_id}/start"),
            format!("{sensor}/start"),
            Some(&one),
            200,
        ),
        (route("GET", "/api/devices/{device_id}/sensors/{sensor_id}/status"), format!("{sensor}/status"), None, 200),
        (route("POST", "/api/devices/{device_id}/sensors/{sensor_id}/stop"), format!("{sensor}/stop"), None, 200),
        (route("GET", "/api/devices/{device_id}/status"), format!("{device}/status"), None, 200),
        (
            route("POST", "/api/devices/{device_id}/firmware/update_from_file"),
            format!("{device}/firmware/update_from_file"),
            None,
            501,
        ),
        (route("POST", "/api/devices/{device_id}/hwm"), format!("{device}/hwm"), Some(&answer), 501),
        (route("POST", "/api/system/enable-metadata"), "/api/system/enable-metadata".into(), None, 200),
        (
            route("GET", "/api/devices/{device_id}/stream/depth-range"),
            format!("{device}/stream/depth-range"),
            None,
            200,
        ),
        (route("GET", "/api/devices/{device_id}/recording/status"), format!("{device}/recording/status"), None, 200),
        (route("POST", "/api/webrtc/offer"), "/api/webrtc/offer".into(), Some(&color), 200),
        (route("POST", "/api/webrtc/answer"), "/api/webrtc/answer".into(), Some(&answer), 200),
        (route("GET", "/api/webrtc/sessions"), "/api/webrtc/sessions".into(), None, 200),
        (route("GET", "/api/webrtc/ice-servers"), "/api/webrtc/ice-servers".into(), None, 200),
        (route("GET", "/api/webrtc/stream-references"), "/api/webrtc/stream-references".into(), None, 200),
        (route("GET", "/api/recordings"), "/api/recordings".into(), None, 200),
        (route("GET", "/api/pipelines"), "/api/pipelines".into(), None, 200),
        (route("POST", "/api/pipelines/{name}/reload"), "/api/pipelines/color.h264/reload".into(), None, 200),
        (route("POST", "/api/pipelines/{name}/reload"), "/api/pipelines/color.vp8/reload".into(), None, 400),
        (route("POST", "/api/pipelines/{name}/reload"), "/api/pipelines/%ff/reload".into(), None, 404),
        (route("GET", "/api/debug/graph/{file}"), format!("/api/debug/graph/{CAMERA}.json"), None, 200),
        (route("GET", "/api/debug/log-levels"), "/api/debug/log-levels".into(), None, 200),
        (route("GET", "/api/debug/elements/{device_id}/{stream_type}/{codec}/{element}"), element, None, 404),
    ];
    for ((method, route), path, body, status) in asked {
        assert_eq!(judge(&server, &document, method, route, &path, body).await, status, "{method} {path}");
    }
    let path = format!("/api/sim/devices/{CAMERA}/fault");
    let fault = json!({"fault": "nonsense"});
    assert_eq!(judge(&server, &document, "POST", "/api/sim/devices/{device_id}/fault", &path, Some(&fault)).await, 400);
    server.shutdown().await;
}

#[tokio::test]
async fn what_does_not_parse_is_answered_as_documented_everywhere() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.json();
    for (method, route) in ROUTES {
        let whole = route.split('/').map(|part| if part.starts_with('{') { "%ff" } else { part });
        let path = whole.collect::<Vec<_>>().join("/");
        let parameters = document["paths"][*route][method.to_lowercase()]["parameters"].as_array();
        let queries = parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "query");
        let twice: Vec<_> = queries.map(|query| format!("{0}=1&{0}=1", query["name"].as_str().unwrap())).collect();
        if path != *route {
            judge(&server, &document, method, route, &path, None).await;
        }
        if !twice.is_empty() && path == *route {
            judge(&server, &document, method, route, &format!("{path}?{}", twice.join("&")), None).await;
        }
    }
    for path in ["stream/depth-at-pixel?x=1&x=2&y=1", "stream/depth-at-pixel?x=%ff"] {
        let route = "/api/devices/{device_id}/stream/depth-at-pixel";
        judge(&server, &document, "GET", route, &format!("/api/devices/{CAMERA}/{path}"), None).await;
    }
    let answer = server.send(Method::GET, "/api/debug/logs?lines=1&lines=2", &[], "").await;
    answer.expect_error(400);
    server.shutdown().await;
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The document has one schema by a name; of two types with the same name the one is silently described as the other.
#[test]
fn every_schema_name_is_of_one_type() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut types: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut is_schema = false;
        for line in text.lines().map(str::trim) {
            is_schema |= line.starts_with("#[derive(") && line.contains("ToSchema");
            let words: Vec<_> = line.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| matches!(*word, "struct" | "enum")) else { continue };
            if is_schema && !line.starts_with("//") {
                let name = words[at + 1].split(|c: char| !c.is_alphanumeric()).next().unwrap();
                let is_new = types.entry(name.to_owned()).or_default().insert(file.clone());
                assert!(is_new, "{name} twice in {}", file.display());
                is_schema = false;
            }
        }
    }
    assert!(types.len() > 30, "the types are found: {types:?}");
    let twice: Vec<_> = types.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(twice.is_empty(), "these names stand for several types each: {twice:?}");
}
