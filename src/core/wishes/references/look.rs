//! What the table of streams tells of itself: who holds what, what runs, and why something does not. Changes nothing.

use std::{collections::BTreeMap, time::Instant};

use super::{Holder, State, Stream, Streams};
use crate::{
    error::Error,
    model::{DeviceId, StreamConfig, StreamKey, StreamType},
};

impl Streams {
    /// Whether the stream exists, and with what it runs or is starting.
    pub fn config(&self, key: &StreamKey) -> Option<StreamConfig> {
        self.stream(key).map(|stream| stream.config)
    }

    /// The same with the sensor that it comes from.
    pub fn sensor_and_config(&self, key: &StreamKey) -> Option<(usize, StreamConfig)> {
        self.stream(key).map(|stream| (stream.sensor, stream.config))
    }

    /// The same of a stream that somebody holds: who wants it otherwise cannot have it.
    pub fn held_config(&self, key: &StreamKey) -> Option<StreamConfig> {
        self.stream(key).filter(|stream| !stream.lingers()).map(|stream| stream.config)
    }

    /// Whether nobody holds the stream any more: it only waits in case a viewer comes back, and is in nobody's way.
    pub fn lingers(&self, key: &StreamKey) -> bool {
        self.stream(key).is_some_and(Stream::lingers)
    }

    /// Whether frames of it can be expected.
    pub fn is_running(&self, key: &StreamKey) -> bool {
        self.stream(key).is_some_and(|stream| matches!(stream.state, State::Running { .. }))
    }

    /// Whether the device has video that runs, or is only being restarted.
    pub fn has_video(&self, id: &DeviceId) -> bool {
        let mut streams = self.devices.get(id).into_iter().flat_map(|device| device.streams.values());
        streams.any(|stream| {
            let runs = matches!(stream.state, State::Running { .. }) || stream.is_restarting();
            stream.config.stream.is_video() && runs
        })
    }

    /// Whether the stream is being started and never ran.
    pub fn is_first_start(&self, key: &StreamKey) -> bool {
        let starts = |stream: &Stream| matches!(stream.state, State::Starting { .. }) && stream.restart.is_none();
        self.stream(key).is_some_and(starts)
    }

    /// What runs on a device, or is only being restarted.
    pub fn shown(&self, id: &DeviceId) -> Vec<StreamConfig> {
        let streams = self.devices.get(id).into_iter().flat_map(|device| device.streams.values());
        let shown = |stream: &&Stream| matches!(stream.state, State::Running { .. }) || stream.is_restarting();
        streams.filter(shown).map(|stream| stream.config).collect()
    }

    /// Why a stream is interrupted.
    pub fn trouble(&self, key: &StreamKey) -> Option<&Error> {
        self.stream(key)?.trouble.as_ref()
    }

    /// How many streams are just starting.
    pub fn starting(&self) -> usize {
        let streams = self.devices.values().flat_map(|device| device.streams.values());
        streams.filter(|stream| matches!(stream.state, State::Starting { .. })).count()
    }

    /// Whether a stream runs or is on its way.
    pub fn is_held(&self, key: &StreamKey) -> bool {
        self.stream(key).is_some()
    }

    /// The profile of a running or starting video stream on a sensor, one that is held before one that lingers.
    pub fn sensor_config(&self, id: &DeviceId, sensor: usize) -> Option<StreamConfig> {
        let lingering = || self.sensor_videos(id, sensor).next();
        self.held_sensor_config(id, sensor).or_else(|| lingering().map(|stream| stream.config))
    }

    /// The same of one that somebody holds: the sensor's other streams must match it.
    pub fn held_sensor_config(&self, id: &DeviceId, sensor: usize) -> Option<StreamConfig> {
        self.held_on_sensor(id, sensor).next()
    }

    /// All video of a sensor that somebody holds.
    pub fn held_on_sensor(&self, id: &DeviceId, sensor: usize) -> impl Iterator<Item = StreamConfig> {
        self.sensor_videos(id, sensor).filter(|stream| !stream.lingers()).map(|stream| stream.config)
    }

    fn sensor_videos(&self, id: &DeviceId, sensor: usize) -> impl Iterator<Item = &Stream> {
        let streams = self.devices.get(id).into_iter().flat_map(|device| device.streams.values());
        streams.filter(move |stream| stream.sensor == sensor && stream.config.stream.is_video())
    }

    /// Counts of references, nothing with zero.
    pub fn references(&self) -> BTreeMap<DeviceId, BTreeMap<StreamType, usize>> {
        let counted = self.devices.iter().map(|(id, device)| {
            let counts = device.streams.iter().map(|(stream_type, stream)| (*stream_type, stream.references()));
            (id.clone(), counts.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>())
        });
        counted.filter(|(_, counts)| !counts.is_empty()).collect()
    }

    /// What runs on a device: sensor, config, since when.
    pub fn running(&self, id: &DeviceId) -> Vec<(usize, StreamConfig, Instant)> {
        let streams = self.devices.get(id).into_iter().flat_map(|device| device.streams.values());
        streams
            .filter_map(|stream| match stream.state {
                State::Running { since, .. } => Some((stream.sensor, stream.config, since)),
                _ => None,
            })
            .collect()
    }

    /// Whether the stream runs only because the server itself wants it, be it recorded on the way or not.
    pub fn is_companion(&self, key: &StreamKey) -> bool {
        self.stream(key).is_some_and(|stream| {
            let own = |holder: &Holder| matches!(holder, Holder::Metadata | Holder::Recording);
            stream.holders.contains(&Holder::Metadata) && stream.holders.iter().all(own)
        })
    }

    /// Whether all that runs on a device is lingering.
    pub fn is_stopping(&self, id: &DeviceId) -> bool {
        self.devices.get(id).is_some_and(|device| {
            let mut video = device.streams.values().filter(|stream| stream.config.stream.is_video()).peekable();
            video.peek().is_some() && video.all(Stream::lingers)
        })
    }

    /// How many sessions hold each stream of a device; nothing with zero.
    pub fn viewers(&self, id: &DeviceId) -> BTreeMap<StreamType, usize> {
        let streams = self.devices.get(id).into_iter().flat_map(|device| &device.streams);
        let sessions = |stream: &Stream| stream.holders.iter().filter(|h| matches!(h, Holder::Session(_))).count();
        streams.map(|(stream_type, stream)| (*stream_type, sessions(stream))).filter(|(_, count)| *count > 0).collect()
    }

    /// Whether anybody but sessions, and the server for its metadata, holds the stream.
    pub fn is_held_without_viewers(&self, key: &StreamKey) -> bool {
        let others = |holder: &Holder| !matches!(holder, Holder::Session(_) | Holder::Metadata);
        self.stream(key).is_some_and(|stream| stream.holders.iter().any(others))
    }

    /// The streams a holder holds on a device.
    pub fn held_by(&self, id: &DeviceId, holder: &Holder) -> Vec<StreamType> {
        let streams = self.devices.get(id).into_iter().flat_map(|device| device.streams.iter());
        streams.filter(|(_, stream)| stream.holders.contains(holder)).map(|(stream_type, _)| *stream_type).collect()
    }

    /// The same on one sensor only.
    pub fn held_of_sensor(&self, id: &DeviceId, sensor: usize, holder: &Holder) -> Vec<StreamType> {
        let mut held = self.held_by(id, holder);
        held.retain(|stream| {
            self.stream(&StreamKey::new(id.clone(), *stream)).is_some_and(|stream| stream.sensor == sensor)
        });
        held
    }
}
