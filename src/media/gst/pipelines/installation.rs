//! Checks at program start: whether the GStreamer elements are installed, and whether every pipeline that may be used is
//! whole. Starts nothing, but has the best encoder found where a stream is to have it.

use super::{
    choice::{choose, chosen},
    library,
    packages::{CORE, how_to_get, package_of},
};
use crate::{
    config::{AUTO, Config},
    model::{Codec, DeviceId, StreamKey, StreamType},
};

/// Elements the program needs whatever the pipeline files say.
const NEEDED: [&str; 10] =
    ["appsrc", "appsink", "tee", "rtph264pay", "rtpvp8pay", "rtpbin", "webrtcbin", "dtlssrtpenc", "srtpenc", "nicesrc"];

/// Whether every GStreamer element that the program needs is installed.
///
/// # Errors
/// One sentence per missing element with its Debian package, and last the one command that installs them all.
pub fn check_installation() -> Result<(), Vec<String>> {
    if let Err(error) = gst::init() {
        return Err(vec![format!("GStreamer does not start: {error}. Reinstall {CORE}.")]);
    }
    report_missing(|element| gst::ElementFactory::find(element).is_some())
}

fn report_missing(installed: impl Fn(&str) -> bool) -> Result<(), Vec<String>> {
    let missing: Vec<_> = NEEDED.into_iter().filter(|element| !installed(element)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut report: Vec<_> = missing
        .iter()
        .map(|element| format!("GStreamer element {element} is missing; {}", how_to_get(element)))
        .collect();
    let mut packages: Vec<_> = missing.iter().filter_map(|element| package_of(element)).collect();
    packages.sort_unstable();
    packages.dedup();
    report.push(format!("Install all of it with: sudo apt install {}", packages.join(" ")));
    Err(report)
}

/// Reads and parses every pipeline that a stream of a device may use, without starting any; where a stream is to have the best
/// encoder of this machine, that is found now, with test pictures.
///
/// # Errors
/// One line per fault: `file:line:column: what is wrong`, or the key that names a pipeline there is not.
pub fn check_pipelines(config: &Config) -> Result<(), Vec<String>> {
    if let Err(error) = gst::init() {
        return Err(vec![format!("GStreamer does not start: {error}")]);
    }
    let mut faults = Vec::new();
    let devices = config.pipelines.devices.keys().map(String::as_str);
    // Any other device stands for all that have no pipelines of their own.
    for device in devices.chain(["any"]) {
        for stream in StreamType::VIDEO {
            let key = StreamKey::new(DeviceId::new(device), stream);
            // Also what is named for a codec that is not offered: a wrong name is better known now.
            for codec in Codec::ALL {
                let named = chosen(config, &key, codec);
                let offered = config.pipelines.codecs.contains(&codec);
                if let Some(fault) = check_choice(config, &key, codec, named, offered)
                    && !faults.contains(&fault)
                {
                    faults.push(fault);
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn check_choice(
    config: &Config,
    key: &StreamKey,
    codec: Codec,
    chosen: Option<String>,
    offered: bool,
) -> Option<String> {
    if !offered && chosen.is_none() {
        return None;
    }
    let named = chosen.clone().filter(|name| name != AUTO);
    let name = match (chosen, &named) {
        (Some(_), None) => {
            // Whether the best is to be had at all is known once it was tried.
            if !offered {
                return None;
            }
            choose(config, key, codec)
        }
        (_, Some(name)) => name.clone(),
        (None, None) => library::default_of(key.stream, codec),
    };
    match library::read(config, &name) {
        None if named.is_some() => {
            Some(format!("In the configuration, pipelines for {}: {}", key.stream, library::no_such(config, &name)))
        }
        None => Some(library::no_such(config, &name)),
        Some(text) => library::build_alone(config, key, &text).err().map(|fault| fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_needed_element_has_a_package_and_missing_ones_are_said() {
        assert!(NEEDED.iter().all(|element| package_of(element).is_some()));
        assert_eq!(report_missing(|_| true), Ok(()));
        let report = report_missing(|element| element != "nicesrc" && element != "webrtcbin").expect_err("two missing");
        assert_eq!(report.len(), 3);
        assert!(report[0].contains("webrtcbin") && report[0].contains("apt install gstreamer1.0-plugins-bad"));
        assert!(report[2].ends_with("sudo apt install gstreamer1.0-nice gstreamer1.0-plugins-bad"), "{}", report[2]);
    }
}
