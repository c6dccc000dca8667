//! Where a GStreamer element is to be had: the table from element to Debian package; of those that need hardware,
//! whether their plugin is installed.

const BASE: &str = "gstreamer1.0-plugins-base";
/// Debian builds the pango plugin, which draws text, apart from the base plugins.
const PANGO: &str = "gstreamer1.0-x";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
pub(super) const CORE: &str = "libgstreamer1.0-0";

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
pub(in crate::media::gst) fn exists(element: &str) -> bool {
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

/// Elements that their plugin offers only where it finds the hardware: element, plugin, and what it looks for.
const HARDWARE: [(&str, &str, &str); 6] = [
    ("nvh264enc", "nvcodec", "an NVIDIA graphics card and its driver's libnvidia-encode"),
    ("vah264enc", "va", "a graphics chip whose VA-API driver encodes H.264 (`vainfo` tells)"),
    ("vah264lpenc", "va", "a graphics chip whose VA-API driver encodes H.264 at low power (`vainfo` tells)"),
    ("msdkh264enc", "msdk", "an Intel graphics chip and its media driver"),
    ("vaapih264enc", "vaapi", "a graphics chip whose VA-API driver encodes H.264 (`vainfo` tells)"),
    (
        "v4l2h264enc",
        "video4linux2",
        "an encoder of the kernel's, such as the Raspberry Pi 4 has (`v4l2-ctl --list-devices`)",
    ),
];

/// What to do to get an element: which package to install, or what else it needs where its package is installed.
pub(crate) fn how_to_get(element: &str) -> String {
    how(element, |plugin| gst::Registry::get().find_plugin(plugin).is_some())
}

fn how(element: &str, is_there: impl Fn(&str) -> bool) -> String {
    if let Some((_, _, needs)) = HARDWARE.iter().find(|(name, plugin, _)| *name == element && is_there(plugin)) {
        return format!("its package is installed, but the element is there only with {needs}");
    }
    match package_of(element) {
        Some(package) => format!("it is in the Debian package {package}: apt install {package}"),
        None if elsewhere(element).is_some() => format!("it comes {}", elsewhere(element).unwrap_or_default()),
        None => "check its spelling; `gst-inspect-1.0` lists what is installed, `apt-file search` what could be".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_installed_is_not_recommended() {
        assert!(how("nvh264enc", |_| false).contains("apt install gstreamer1.0-plugins-bad"));
        let told = how("nvh264enc", |plugin| plugin == "nvcodec");
        assert!(told.contains("NVIDIA") && !told.contains("apt install"), "{told}");
        assert!(how("x264enc", |_| true).contains("apt install gstreamer1.0-plugins-ugly"));
        for (element, _, _) in HARDWARE {
            assert!(package_of(element).is_some(), "{element}");
        }
    }
}
