//! What the server sends by Socket.IO: each event's name and the shape of what it carries. Owns their description in the
//! OpenAPI document; sends nothing.

use serde::Serialize;
use utoipa::ToSchema;

use super::metadata::MetadataUpdate;

/// What an event carries.
pub(super) trait Event: Serialize {
    /// The event's name.
    const NAME: &'static str;
}

/// Socket.IO payload of `welcome`: the client is connected, and gets events from now on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Welcome {
    /// A sentence for a person.
    pub message: &'static str,
}

impl Event for Welcome {
    const NAME: &'static str = "welcome";
}

impl Event for MetadataUpdate {
    const NAME: &'static str = "metadata_update";
}

/// Socket.IO payload of `sessions_changed`: sessions or streams changed, so a client that shows them reads them again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionsChanged {
    /// Grows with each change.
    pub revision: u64,
    /// How many sessions there are.
    pub sessions: usize,
}

impl Event for SessionsChanged {
    const NAME: &'static str = "sessions_changed";
}

/// Socket.IO payload of `server_shutdown`: the server closes the connection now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerShutdown {
    /// A sentence for a person.
    pub message: &'static str,
}

impl Event for ServerShutdown {
    const NAME: &'static str = "server_shutdown";
}

/// The Socket.IO events that the server sends: each field has an event's name and the type of what that event carries. No
/// route answers with this; it stands here so that clients can generate their types from one document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is the description of the events and is never made")]
pub(super) struct SocketEvents {
    /// On connect.
    welcome: Welcome,
    /// At most 30 times a second for each device that streams, and once when it stops.
    metadata_update: MetadataUpdate,
    /// When sessions or streams change, at most 5 times a second.
    sessions_changed: SessionsChanged,
    /// Before the server ends.
    server_shutdown: ServerShutdown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi;

    fn described<E: Event + ToSchema>(document: &serde_json::Value) {
        let place = format!("/components/schemas/SocketEvents/properties/{}/$ref", E::NAME);
        let expected = format!("#/components/schemas/{}", E::name());
        assert_eq!(document.pointer(&place).and_then(|found| found.as_str()), Some(expected.as_str()), "{place}");
        let words = document.pointer(&format!("/components/schemas/{}/description", E::name()));
        let begin = format!("Socket.IO payload of `{}`: ", E::NAME);
        assert!(words.and_then(|found| found.as_str()).is_some_and(|words| words.starts_with(&begin)), "{words:?}");
    }

    #[test]
    fn the_document_describes_every_event() {
        let document = serde_json::to_value(openapi()).expect("a document is plain data, which JSON can hold");
        described::<Welcome>(&document);
        described::<MetadataUpdate>(&document);
        described::<SessionsChanged>(&document);
        described::<ServerShutdown>(&document);
        let events = &document["components"]["schemas"]["SocketEvents"];
        assert_eq!(events["properties"].as_object().map(serde_json::Map::len), Some(4));
        assert_eq!(events["required"].as_array().map(Vec::len), Some(4));
    }
}
