//! What the server runs on, and how its process stands: read from GStreamer's registry and from /proc. Owns nothing; what
//! cannot be read is left out.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::{media, process};

/// Versions, and the machine.
#[derive(Debug, Serialize)]
pub(super) struct Versions {
    program: &'static str,
    architecture: &'static str,
    gstreamer: String,
    /// Plugins loaded by now, with their versions.
    gstreamer_plugins: BTreeMap<String, String>,
    librealsense: String,
    kernel: Option<String>,
    distribution: Option<String>,
    cpu: Option<String>,
    cpus: Option<usize>,
    memory: Option<String>,
}

pub(super) fn versions(sdk: &str) -> Versions {
    // Starts GStreamer where nobody has, and the registry is there only then.
    let gstreamer = media::gst::version();
    let registry = gst::Registry::get();
    let loaded = registry.plugins().into_iter().filter(|plugin| plugin.is_loaded());
    let describe = |plugin: gst::Plugin| {
        (plugin.plugin_name().to_string(), format!("{} ({})", plugin.version(), plugin.package()))
    };
    Versions {
        program: env!("CARGO_PKG_VERSION"),
        architecture: std::env::consts::ARCH,
        gstreamer,
        gstreamer_plugins: loaded.map(describe).collect(),
        librealsense: sdk.to_owned(),
        kernel: read("/proc/sys/kernel/osrelease"),
        distribution: read("/etc/os-release").and_then(|text| entry(&text, "PRETTY_NAME", '=')),
        cpu: read("/proc/cpuinfo").and_then(|text| entry(&text, "model name", ':')),
        cpus: std::thread::available_parallelism().ok().map(usize::from),
        memory: read("/proc/meminfo").and_then(|text| entry(&text, "MemTotal", ':')),
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value of the first line `NAME=value` or `NAME : value`.
fn entry(text: &str, name: &str, mark: char) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(mark));
    let (_, value) = lines.into_iter().find(|(key, _)| key.trim() == name)?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// How the process stands, as text.
pub(super) fn describe_process() -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let usage = process::usage();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let _ = writeln!(text, "started {:.0} s ago", (now - usage.started_unix_s).max(0.0));
    if let Some(status) = read("/proc/self/status") {
        for name in ["VmRSS", "VmHWM", "VmSize", "RssAnon", "VmSwap"] {
            if let Some(value) = entry(&status, name, ':') {
                let _ = writeln!(text, "{name:8} {value}");
            }
        }
    }
    if let Some(load) = read("/proc/loadavg") {
        let _ = writeln!(text, "load     {load}");
    }
    let descriptors = count("/proc/self/fd", |path| {
        let target = fs::read_link(path).ok()?;
        let target = target.to_string_lossy();
        Some(target.split_once(":[").map_or_else(
            || if target.starts_with("anon_inode") { target.to_string() } else { "file".to_owned() },
            |(kind, _)| kind.to_owned(),
        ))
    });
    let title = format!("file descriptors (limit {})", usage.max_fds);
    list(&mut text, &title, &descriptors);
    let threads = count("/proc/self/task", |path| read(path.join("comm").to_str()?));
    list(&mut text, "threads by name", &threads);
    text.push('\n');
    text
}

/// Counts the entries of a folder by what they are called; one that is gone meanwhile is not counted.
fn count(folder: &str, name: impl Fn(&Path) -> Option<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Some(name) = name(&entry.path()) {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

fn list(text: &mut String, title: &str, counts: &BTreeMap<String, usize>) {
    let _ = writeln!(text, "\n{title}: {}", counts.values().sum::<usize>());
    for (name, count) in counts {
        let _ = writeln!(text, "{count:6} {name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_and_the_machine_are_described() {
        gst::init().expect("GStreamer");
        let text = describe_process();
        for word in ["started ", "VmRSS", "threads by name: ", "file descriptors (limit "] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let versions = versions("none");
        assert!(versions.gstreamer.starts_with("GStreamer 1."), "{versions:?}");
        assert!(versions.kernel.is_some() && versions.cpus.is_some_and(|cpus| cpus > 0), "{versions:?}");
    }

    #[test]
    fn an_entry_is_found_by_its_name() {
        let text = "NAME=\"x\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nmodel name\t: A: B\n";
        assert_eq!(entry(text, "PRETTY_NAME", '=').as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(entry(text, "model name", ':').as_deref(), Some("A: B"));
        assert_eq!(entry(text, "other", ':'), None);
    }
}
