//! What the server sends by Socket.IO: each event's name and the shape of what it carries. Owns their description in the
//! OpenAPI document; sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::metadata::MetadataUpdate;
use crate::{
    model::{DeviceId, Profile, StreamType},
    session::api::Snapshot,
};

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

/// Socket.IO payload of `devices_changed`: devices came, which can be used now, or went.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct DevicesChanged {
    /// The devices that came.
    pub added: Vec<DeviceId>,
    /// The devices that went.
    pub removed: Vec<DeviceId>,
}

impl Event for DevicesChanged {
    const NAME: &'static str = "devices_changed";
}

impl DevicesChanged {
    /// What changed since the last call, of which `known` is kept. A device comes once it can be used, and goes when it is not
    /// there any more: one that only fails for a while neither goes nor comes.
    pub(super) fn since(known: &mut BTreeSet<DeviceId>, now: &Snapshot) -> Option<Self> {
        let usable = |id: &DeviceId| now.devices.get(id) == Some(&true);
        let there = now.attached.iter().filter(|id| usable(id) || known.contains(*id)).cloned().collect();
        let before = std::mem::replace(known, there);
        let added: Vec<_> = known.difference(&before).cloned().collect();
        let removed: Vec<_> = before.difference(known).cloned().collect();
        (!added.is_empty() || !removed.is_empty()).then_some(Self { added, removed })
    }
}

/// Socket.IO payload of `options_changed`: options of a sensor have other values, because somebody set them or the camera itself
/// did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OptionsChanged {
    /// The device.
    pub device_id: DeviceId,
    /// The sensor.
    #[schema(example = "844212070924-sensor-0")]
    pub sensor_id: String,
    /// The new values, by `option_id`.
    #[schema(example = json!({"exposure": 8500.0}))]
    pub options: BTreeMap<String, f64>,
}

impl Event for OptionsChanged {
    const NAME: &'static str = "options_changed";
}

/// Socket.IO payload of `stream_restarted`: a stream runs at another size or rate now, because a client asked for it while others
/// watched. Their sessions go on with the new picture.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamRestarted {
    /// The device.
    pub device_id: DeviceId,
    /// Stream type.
    #[schema(value_type = String, example = "depth")]
    pub stream_type: StreamType,
    /// What it runs at now.
    pub profile: Profile,
}

impl Event for StreamRestarted {
    const NAME: &'static str = "stream_restarted";
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
    /// When a device came or went.
    devices_changed: DevicesChanged,
    /// When options have other values, at most 4 times a second for each sensor.
    options_changed: OptionsChanged,
    /// When somebody has a sensor run otherwise that others watch.
    stream_restarted: StreamRestarted,
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
    fn a_device_comes_when_it_can_be_used_and_goes_when_it_is_not_there() {
        let id = DeviceId::new("1");
        let now = |attached: bool, usable: bool| Snapshot {
            devices: [(DeviceId::new("1"), usable)].into(),
            attached: attached.then(|| DeviceId::new("1")).into_iter().collect(),
            ..Snapshot::default()
        };
        let mut known = BTreeSet::new();
        let came = DevicesChanged { added: vec![id.clone()], removed: vec![] };
        let went = DevicesChanged { added: vec![], removed: vec![id] };
        for (attached, usable, expected) in [
            (true, false, None),
            (true, true, Some(&came)),
            (true, false, None),
            (true, true, None),
            (false, false, Some(&went)),
            (true, false, None),
            (true, true, Some(&came)),
        ] {
            assert_eq!(DevicesChanged::since(&mut known, &now(attached, usable)).as_ref(), expected);
        }
        assert_eq!(DevicesChanged::since(&mut known, &Snapshot::default()), Some(went), "it is forgotten");
    }

    #[test]
    fn the_document_describes_every_event() {
        let document = serde_json::to_value(openapi()).expect("a document is plain data, which JSON can hold");
        described::<Welcome>(&document);
        described::<MetadataUpdate>(&document);
        described::<SessionsChanged>(&document);
        described::<DevicesChanged>(&document);
        described::<OptionsChanged>(&document);
        described::<StreamRestarted>(&document);
        described::<ServerShutdown>(&document);
        let events = &document["components"]["schemas"]["SocketEvents"];
        assert_eq!(events["properties"].as_object().map(serde_json::Map::len), Some(7));
        assert_eq!(events["required"].as_array().map(Vec::len), Some(7));
    }
}
