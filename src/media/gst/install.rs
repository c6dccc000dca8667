//! Checks of the installation and of pipeline files at program start. Owns the table from GStreamer element to Debian
//! package; starts nothing.

use super::library;
use crate::{
    config::{AUTO, Config},
    model::{Codec, DeviceId, StreamKey, StreamType},
};

const BASE: &str = "gstreamer1.0-plugins-base";
/// Debian builds the pango plugin, which draws text, apart from the base plugins.
const PANGO: &str = "gstreamer1.0-x";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const CORE: &str = "libgstreamer1.0-0";

/// Elements the program needs whatever the pipeline files say.
const NEEDED: [&str; 10] =
    ["appsrc", "appsink", "tee", "rtph264pay", "rtpvp8pay", "rtpbin", "webrtcbin", "dtlssrtpenc", "srtpenc", "nicesrc"];

/// Debian 12's packages of the elements that pipelines of this kind use (from `apt-file search libgst…`).
const PACKAGES: [(&str, &str); 48] = [
    ("appsrc", BASE),
    ("appsink", BASE),
    ("videoconvert", BASE),
    ("videoscale", BASE),
    ("videorate", BASE),
    ("videotestsrc", BASE),
    ("timeoverlay", PANGO),
    ("textoverlay", PANGO),
    ("clockoverlay", PANGO),
    ("tee", CORE),
    ("identity", CORE),
    ("queue", CORE),
    ("queue2", CORE),
    ("capsfilter", CORE),
    ("fakesink", CORE),
    ("filesink", CORE),
    ("clocksync", CORE),
    ("x264enc", UGLY),
    ("vp8enc", GOOD),
    ("vp9enc", GOOD),
    ("rtph264pay", GOOD),
    ("rtpvp8pay", GOOD),
    ("rtpbin", GOOD),
    ("udpsink", GOOD),
    ("matroskamux", GOOD),
    ("mp4mux", GOOD),
    ("videoflip", GOOD),
    ("videocrop", GOOD),
    ("videobox", GOOD),
    ("gamma", GOOD),
    ("videobalance", GOOD),
    ("v4l2h264enc", GOOD),
    ("webrtcbin", BAD),
    ("dtlssrtpenc", BAD),
    ("srtpenc", BAD),
    ("sctpenc", BAD),
    ("h264parse", BAD),
    ("openh264enc", BAD),
    ("nvh264enc", BAD),
    ("vah264enc", BAD),
    ("vah264lpenc", BAD),
    ("msdkh264enc", BAD),
    ("av1enc", BAD),
    ("x265enc", BAD),
    ("nicesrc", "gstreamer1.0-nice"),
    ("nicesink", "gstreamer1.0-nice"),
    ("vaapih264enc", "gstreamer1.0-vaapi"),
    ("rtspclientsink", "gstreamer1.0-rtsp"),
];

/// Elements that no Debian package has, and where they come from.
const ELSEWHERE: [(&str, &str); 2] =
    [("nvvidconv", "with JetPack, on an NVIDIA Jetson"), ("nvv4l2h264enc", "with JetPack, on an NVIDIA Jetson")];

/// Where an element comes from that Debian does not have.
fn elsewhere(element: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(name, _)| *name == element).map(|(_, from)| *from)
}

/// Whether this is an element that exists, installed or not.
pub(super) fn exists(element: &str) -> bool {
    package_of(element).or(elsewhere(element)).is_some()
}

/// The Debian package that has an element, where known.
pub(super) fn package_of(element: &str) -> Option<&'static str> {
    if element.starts_with("avenc_") || element.starts_with("avdec_") {
        return Some("gstreamer1.0-libav");
    }
    PACKAGES.iter().find(|(name, _)| *name == element).map(|(_, package)| *package)
}

/// The elements whose package is known.
pub(super) fn known_elements<'a>() -> impl Iterator<Item = &'a str> {
    PACKAGES.iter().map(|(name, _)| *name)
}

/// "install it with: apt install …", or a hint where the package is not known.
pub(crate) fn how_to_get(element: &str) -> String {
    match package_of(element) {
        Some(package) => format!("it is in the Debian package {package}: apt install {package}"),
        None if elsewhere(element).is_some() => format!("it comes {}", elsewhere(element).unwrap_or_default()),
        None => "check its spelling; `gst-inspect-1.0` lists what is installed, `apt-file search` what could be".into(),
    }
}

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
                let chosen = library::chosen(config, &key, codec);
                let offered = config.pipelines.codecs.contains(&codec);
                if let Some(fault) = check_choice(config, &key, codec, chosen, offered)
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
            library::choose(config, key, codec)
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
