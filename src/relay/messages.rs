//! What a relay asks for and what it is told, as the wire has it: names of events and their JSON. Decides nothing.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json};

use crate::http::requests::{CandidateBody, StartConfig};

/// Longest id of a session, in bytes; the demo's relay has 26.
const MAX_ID: usize = 128;

/// What a relay asks for. Sessions have the relay's ids.
#[derive(Debug)]
pub(super) enum Request {
    /// `create-session`.
    Create(Create),
    /// `webrtc-answer`.
    Answer(Answer),
    /// `ice-candidate`.
    Candidate {
        /// Session.
        session: String,
        /// The browser's candidate.
        candidate: CandidateBody,
    },
    /// `switch-stream-type`.
    Switch(Switch),
    /// `session-closed`: the viewer left.
    Closed(Closed),
    /// `activate-pointcloud`.
    Clouds(Clouds),
    /// `start-device-stream`.
    Start(Start),
    /// `stop-device-stream`.
    Stop(Stop),
}

/// Asks for a session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    #[serde(deserialize_with = "id")]
    pub(super) session_id: String,
    #[serde(deserialize_with = "id")]
    pub(super) device_id: String,
    pub(super) stream_types: Vec<String>,
}

/// Answers an offer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(deserialize_with = "id")]
    pub(super) session_id: String,
    pub(super) answer: Description,
}

/// A description as `RTCPeerConnection` has it.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    pub(super) sdp: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCandidate {
    #[serde(deserialize_with = "id")]
    session_id: String,
    /// What `RTCIceCandidate` becomes in JSON, its line alone, or null at the end.
    #[serde(default)]
    candidate: Value,
}

/// Has a session carry other streams.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Switch {
    #[serde(deserialize_with = "id")]
    pub(super) session_id: String,
    pub(super) stream_types: Vec<String>,
}

/// Ends a session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Closed {
    #[serde(deserialize_with = "id")]
    pub(super) session_id: String,
}

/// Switches point clouds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Clouds {
    #[serde(deserialize_with = "id")]
    pub(super) device_id: String,
    pub(super) enabled: Option<bool>,
}

/// Starts streams without a viewer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start {
    #[serde(deserialize_with = "id")]
    pub(super) device_id: String,
    pub(super) stream_configs: Vec<StartConfig>,
}

/// Stops them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stop {
    #[serde(deserialize_with = "id")]
    pub(super) device_id: String,
}

/// An event for the relay.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    /// Its name.
    pub(super) name: &'static str,
    /// Its argument.
    pub(super) data: Value,
}

impl Request {
    /// What an event asks for; `None` for one that is not known, which is nobody's fault.
    ///
    /// # Errors
    /// It is known and does not have what it must have; what to say of it, or nothing where that could end a session that goes on.
    pub(super) fn parse(name: &str, data: &Value) -> Option<Result<Self, Option<Reply>>> {
        let request = match name {
            "create-session" => read(data).map(Self::Create),
            "webrtc-answer" => read(data).map(Self::Answer),
            "ice-candidate" => candidate(data),
            "switch-stream-type" => read(data).map(Self::Switch),
            "session-closed" => read(data).map(Self::Closed),
            "activate-pointcloud" => read(data).map(Self::Clouds),
            "start-device-stream" => read(data).map(Self::Start),
            "stop-device-stream" => read(data).map(Self::Stop),
            _ => return None,
        };
        Some(request.map_err(|error| {
            let error = format!("The event {name} cannot be read: {error}.");
            match name {
                "activate-pointcloud" | "start-device-stream" | "stop-device-stream" => {
                    Some(Reply::device_error(&error))
                }
                "switch-stream-type" => Some(Reply::switch_error(session_of(data), &error)),
                "create-session" | "webrtc-answer" => Some(Reply::session_error(session_of(data), &error)),
                _ => {
                    tracing::debug!("{error}");
                    None
                }
            }
        }))
    }

    /// Says why it is not done; `None` for what is never answered.
    pub(super) fn refusal(&self, error: &str) -> Option<Reply> {
        match self {
            Self::Create(Create { session_id, .. }) | Self::Answer(Answer { session_id, .. }) => {
                Some(Reply::session_error(session_id, error))
            }
            Self::Switch(Switch { session_id, .. }) => Some(Reply::switch_error(session_id, error)),
            Self::Clouds(_) | Self::Start(_) | Self::Stop(_) => Some(Reply::device_error(error)),
            Self::Candidate { .. } | Self::Closed(_) => None,
        }
    }
}

impl Reply {
    pub(super) fn session_error(session: &str, error: &str) -> Self {
        Self { name: "session-error", data: json!({"sessionId": session, "error": error}) }
    }

    pub(super) fn switch_error(session: &str, error: &str) -> Self {
        Self { name: "stream-type-switch-error", data: json!({"sessionId": session, "error": error}) }
    }

    pub(super) fn device_error(error: &str) -> Self {
        Self { name: "pointcloud-error", data: json!({ "error": error }) }
    }

    pub(super) fn close_session(session: &str) -> Self {
        Self { name: "close-session", data: json!({ "sessionId": session }) }
    }
}

/// The session that a broken event may be about.
fn session_of(data: &Value) -> &str {
    data.get("sessionId").and_then(Value::as_str).filter(|id| id.len() <= MAX_ID).unwrap_or_default()
}

fn read<T: DeserializeOwned>(data: &Value) -> Result<T, String> {
    // What it complains about may be as long as what was sent.
    T::deserialize(data).map_err(|error| error.to_string().chars().take(120).collect())
}

fn candidate(data: &Value) -> Result<Request, String> {
    let RawCandidate { session_id, candidate } = read(data)?;
    let mut fields = match candidate {
        Value::Object(fields) => fields,
        // Its line's place stands beside it, then.
        line => {
            let mut fields = data.as_object().cloned().unwrap_or_default();
            fields.insert("candidate".into(), line);
            fields
        }
    };
    fields.insert("session_id".into(), json!(session_id));
    Ok(Request::Candidate { session: session_id, candidate: read(&Value::Object(fields))? })
}

/// An id, which may also come as a number.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
        Other(IgnoredAny),
    }
    let id = match Id::deserialize(deserializer)? {
        Id::Text(text) => Some(text),
        Id::Number(number) => Some(number.to_string()),
        Id::Other(_) => None,
    };
    id.filter(|id| !id.is_empty() && id.len() <= MAX_ID)
        .ok_or_else(|| serde::de::Error::custom(format!("an id is a text of 1 to {MAX_ID} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, data: Value) -> Result<Request, Option<Reply>> {
        Request::parse(name, &data).expect("a known event")
    }

    #[test]
    fn candidates_come_in_every_form_that_clients_write() {
        for (sent, line, mid) in [
            (
                json!({"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x"}),
                "candidate:1",
                Some("0"),
            ),
            (json!("candidate:1"), "candidate:1", Some("7")),
            (json!({"candidate": ""}), "", None),
            (json!(null), "", Some("7")),
        ] {
            let event = json!({"sessionId": "a", "candidate": sent, "sdpMid": "7"});
            let Ok(Request::Candidate { session, candidate }) = parse("ice-candidate", event) else {
                panic!("{sent} is a candidate")
            };
            assert_eq!((session.as_str(), candidate.candidate.as_str()), ("a", line));
            assert_eq!(candidate.sdp_mid.as_deref(), mid, "{sent}");
        }
        let absent = parse("ice-candidate", json!({"sessionId": "a"}));
        assert!(matches!(absent, Ok(Request::Candidate { .. })), "the end of candidates");
    }

    #[test]
    fn what_lacks_something_is_answered_by_the_event_that_its_sender_waits_for() {
        for (name, reply) in [
            ("create-session", "session-error"),
            ("webrtc-answer", "session-error"),
            ("switch-stream-type", "stream-type-switch-error"),
            ("activate-pointcloud", "pointcloud-error"),
            ("start-device-stream", "pointcloud-error"),
            ("stop-device-stream", "pointcloud-error"),
        ] {
            for data in [
                json!(null),
                json!([]),
                json!({"sessionId": {}, "deviceId": []}),
                json!({"sessionId": "", "deviceId": ""}),
            ] {
                let refused = parse(name, data.clone()).expect_err(name).expect("it is answered");
                assert_eq!(refused.name, reply, "{data}");
                assert!(refused.data["error"].as_str().is_some_and(|error| error.contains(name)), "{refused:?}");
            }
        }
        let named = parse("create-session", json!({"sessionId": "a", "deviceId": "1"}))
            .expect_err("no streams")
            .expect("answered");
        assert_eq!(named.data["sessionId"], "a");
        let long = parse("create-session", json!({"sessionId": "a".repeat(129), "deviceId": "1", "streamTypes": []}));
        assert_eq!(long.expect_err("too long").expect("answered").data["sessionId"], "");
        assert!(matches!(parse("ice-candidate", json!({"sessionId": "a", "candidate": {"sdpMid": 7}})), Err(None)));
        assert!(Request::parse("test", &json!({})).is_none(), "an event of the relay's own");
    }

    #[test]
    fn ids_may_be_numbers() {
        let event = json!({"sessionId": 7, "deviceId": 844_212_070_924_u64, "streamTypes": ["color"]});
        let Ok(Request::Create(create)) = parse("create-session", event) else { panic!("it is read") };
        assert_eq!((create.session_id.as_str(), create.device_id.as_str()), ("7", "844212070924"));
    }
}
