//! A snapshot of the running encoders for the threads that look inside. Changes nothing.

use std::collections::HashMap;

use gst::prelude::*;

use super::table::Streams;
use crate::{
    media::gst::inspect::snapshot::RunningEncoder,
    model::{DeviceId, SessionId},
};

impl Streams {
    /// The running encoders of a device; `sessions` names the sessions by serial number.
    pub(in crate::media::gst) fn look(
        &self,
        device: &DeviceId,
        sessions: &HashMap<u64, SessionId>,
    ) -> Vec<RunningEncoder> {
        let streams = self.streams.iter().filter(|(key, _)| key.device == *device);
        let slots = streams.flat_map(|(key, stream)| stream.slots.iter().map(move |(codec, slot)| (key, codec, slot)));
        let running = slots.filter_map(|(key, codec, slot)| {
            let encoder = slot.encoder.as_ref()?;
            let branches = slot.users.iter().filter_map(|(serial, user)| {
                let sink = user.branch.as_ref()?.sink.clone().upcast();
                Some((sink, sessions.get(serial)?.clone()))
            });
            Some(RunningEncoder {
                serial: encoder.serial,
                key: key.clone(),
                codec: *codec,
                file: encoder.file.clone(),
                started_at: slot.started_at,
                pipeline: encoder.pipeline.clone(),
                branches: branches.collect(),
            })
        });
        running.collect()
    }
}
