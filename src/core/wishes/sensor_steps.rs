//! What to do with a device's sensors so that exactly the wanted streams run: keep, start, reopen or stop, per sensor.
//! A sensor whose set of streams does not change is never touched, so starting colour cannot interrupt depth.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::StreamConfig;

/// Streams by sensor index. A sensor without streams is absent.
pub type BySensor = BTreeMap<usize, BTreeSet<StreamConfig>>;

/// What to do with one sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Start a stopped sensor with these streams.
    Start(BTreeSet<StreamConfig>),
    /// Stop it and start it again with these: a sensor's set of streams cannot change while it runs.
    Reopen(BTreeSet<StreamConfig>),
    /// Stop it.
    Stop,
}

/// The steps from `running` to `wanted`, stops first so that bandwidth is free before something starts.
pub fn plan(running: &BySensor, wanted: &BySensor) -> Vec<(usize, Step)> {
    let sensors: BTreeSet<usize> = running.keys().chain(wanted.keys()).copied().collect();
    let empty = BTreeSet::new();
    let mut steps: Vec<(usize, Step)> = sensors
        .into_iter()
        .filter_map(|sensor| {
            let now = running.get(&sensor).unwrap_or(&empty);
            let then = wanted.get(&sensor).unwrap_or(&empty);
            let step = match (now.is_empty(), then.is_empty()) {
                _ if now == then => return None,
                (_, true) => Step::Stop,
                (true, false) => Step::Start(then.clone()),
                (false, false) => Step::Reopen(then.clone()),
            };
            Some((sensor, step))
        })
        .collect();
    steps.sort_by_key(|(sensor, step)| (!matches!(step, Step::Stop), *sensor));
    steps
}

/// Groups streams by their sensor.
pub fn by_sensor<'a>(streams: impl IntoIterator<Item = &'a (usize, StreamConfig)>) -> BySensor {
    let mut out = BySensor::new();
    for (sensor, config) in streams {
        out.entry(*sensor).or_default().insert(*config);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PixelFormat, Profile, StreamType};

    fn config(stream: StreamType) -> StreamConfig {
        StreamConfig { stream, format: PixelFormat::Y8, profile: Profile { width: 640, height: 480, framerate: 30 } }
    }

    fn set(streams: &[(usize, StreamType)]) -> BySensor {
        by_sensor(&streams.iter().map(|(sensor, stream)| (*sensor, config(*stream))).collect::<Vec<_>>())
    }

    #[test]
    fn adding_colour_leaves_the_stereo_module_alone() {
        let running = set(&[(0, StreamType::Depth)]);
        let wanted = set(&[(0, StreamType::Depth), (1, StreamType::Color)]);
        assert_eq!(plan(&running, &wanted), [(1, Step::Start([config(StreamType::Color)].into()))]);
    }

    #[test]
    fn adding_infrared_reopens_the_stereo_module_with_the_union() {
        let running = set(&[(0, StreamType::Depth)]);
        let wanted = set(&[(0, StreamType::Depth), (0, StreamType::Infrared(1))]);
        let union = [config(StreamType::Depth), config(StreamType::Infrared(1))].into();
        assert_eq!(plan(&running, &wanted), [(0, Step::Reopen(union))]);
    }

    #[test]
    fn stops_come_before_starts_and_nothing_comes_of_nothing() {
        let running = set(&[(1, StreamType::Color)]);
        let wanted = set(&[(0, StreamType::Depth)]);
        assert_eq!(plan(&running, &wanted), [(1, Step::Stop), (0, Step::Start([config(StreamType::Depth)].into()))]);
        assert_eq!(plan(&wanted, &wanted), []);
    }
}
