//! `pipeline list`: which pipelines there are and where each stands.

use super::{
    table::{row, table},
    terminal::say,
};
use crate::{
    config::Config,
    media::gst::offline::pipelines,
    model::{DeviceId, StreamKey, StreamType},
};

/// Prints every pipeline.
pub(super) fn run(config: &Config) -> Result<bool, String> {
    let mut rows = vec![row(["NAME", "CODEC", "ENCODER", "FROM", "USED BY", "STATE"])];
    for name in pipelines::names(config) {
        let Some(info) = pipelines::info(config, &name) else { continue };
        let state = info.fault.map_or_else(|| "parses".to_owned(), |fault| fault.to_string().replace('\n', " "));
        rows.push(vec![
            name.clone(),
            info.codec.map_or_else(|| "?".into(), |codec| codec.to_string()),
            info.encoder.unwrap_or_else(|| "-".into()),
            if info.built_in { "built-in".into() } else { info.file },
            used_by(config, &name),
            state,
        ]);
    }
    say(table(&rows));
    Ok(true)
}

/// The streams that use it, as far as the configuration knows: "color,depth", and "844212070924/color" for one device.
fn used_by(config: &Config, name: &str) -> String {
    let uses = |device: &str, stream: StreamType| {
        let key = StreamKey::new(DeviceId::new(device), stream);
        config.pipelines.codecs.iter().any(|codec| pipelines::choose(config, &key, *codec) == name)
    };
    let of = |device: &str| {
        let mut streams: Vec<String> = Vec::new();
        for stream in StreamType::VIDEO.into_iter().filter(|stream| uses(device, *stream)) {
            streams.push(stream.to_string());
        }
        // Both together are what everybody calls infrared.
        if streams.ends_with(&["infrared-1".into(), "infrared-2".into()]) {
            streams.truncate(streams.len() - 2);
            streams.push("infrared".into());
        }
        streams
    };
    let mut all = of("");
    for device in config.pipelines.devices.keys() {
        all.extend(
            of(device)
                .into_iter()
                .filter(|stream| !all.contains(stream))
                .map(|stream| format!("{device}/{stream}"))
                .collect::<Vec<_>>(),
        );
    }
    if all.is_empty() { "-".into() } else { all.join(",") }
}
