//! The rules of recordings: which file names a client may give, what a recording is called when none is given, and when
//! one that is being written has to end. Touches no file and reads no clock.

use std::{fmt, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    calendar,
    error::{Error, Result},
};

/// The formats that librealsense writes or plays, by extension.
pub const EXTENSIONS: [&str; 2] = ["bag", "db3"];

/// Longest name of a new file in bytes, extension included: half of what file systems take, so that marks still fit.
pub const MAX_NAME: usize = 128;
/// Longest name of a file in bytes (`NAME_MAX` of Linux).
const MAX_FILE_NAME: usize = 255;

/// What stands before the extension of a file that is not complete.
const PARTIAL: &str = ".partial";

/// Most bytes and frames that wait for the disk. A second of colour and depth at 1280x720x30 is 110 MB; the motion module's
/// samples are many and small.
pub const QUEUE: QueueLimits = QueueLimits { bytes: 128 << 20, frames: 1024 };

/// How much may wait for the disk.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Bytes of all waiting frames.
    pub bytes: usize,
    /// Waiting frames.
    pub frames: usize,
}

impl QueueLimits {
    /// Whether a frame of `size` bytes still fits behind `frames` frames of `bytes` bytes. One frame always does, however
    /// large.
    pub fn admits(&self, frames: usize, bytes: usize, size: usize) -> bool {
        frames == 0 || (frames < self.frames && bytes.saturating_add(size) <= self.bytes)
    }
}

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Somebody asked for it.
    Stopped,
    /// The recording reached its size limit.
    SizeLimit,
    /// The recording reached its time limit.
    TimeLimit,
    /// Too little space is left on the disk.
    DiskFull,
    /// The file could not be written.
    WriteError,
    /// The device was unplugged or failed.
    DeviceGone,
    /// The server was shut down.
    ServerStopping,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "It was stopped by request.",
            Self::SizeLimit => "The recording reached its size limit.",
            Self::TimeLimit => "The recording reached its time limit.",
            Self::DiskFull => "Too little space is left on the disk.",
            Self::WriteError => "The file could not be written.",
            Self::DeviceGone => "The device was unplugged or failed.",
            Self::ServerStopping => "The server was shut down.",
        })
    }
}

/// When a recording ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file in bytes; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// Longest recording; `None` for no limit.
    pub max_time: Option<Duration>,
    /// Least free space on the disk in bytes; 0 for no limit.
    pub min_free_bytes: u64,
}

/// How far a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Size of the file.
    pub bytes: u64,
    /// Since it began.
    pub elapsed: Duration,
    /// Free space on the disk, where it was looked at.
    pub free_bytes: Option<u64>,
}

impl Limits {
    /// Whether the recording has to end now. A full disk counts first: it is the reason that somebody must act on.
    pub fn reached(&self, progress: &Progress) -> Option<EndReason> {
        if progress.free_bytes.is_some_and(|free| free < self.min_free_bytes) {
            return Some(EndReason::DiskFull);
        }
        if self.max_bytes.is_some_and(|most| progress.bytes >= most) {
            return Some(EndReason::SizeLimit);
        }
        self.max_time.filter(|most| progress.elapsed >= *most).map(|_| EndReason::TimeLimit)
    }
}

/// Checks the name of an existing file: one that lies in the folder itself and is not hidden. Whoever put it there chose
/// its name: a browser's second download is called `walk (1).bag`.
///
/// # Errors
/// Invalid, saying what a name may be.
pub fn check_name(name: &str) -> Result<()> {
    let bad = |c: char| c == '/' || c.is_control();
    if name.is_empty() || name.len() > MAX_FILE_NAME || name.starts_with('.') || name.contains(bad) {
        return Err(Error::invalid(format!(
            "'{}' is not the name of a recording. A name has no folder and no control characters, does not begin with \
             a dot, and has at most {MAX_FILE_NAME} bytes.",
            shown(name)
        )));
    }
    Ok(())
}

/// Checks the name of a new file, which is stricter: it needs no quoting in a shell, an address or another system.
fn check_new_name(name: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.bytes().all(good) {
        return Err(Error::invalid(format!(
            "'{}' is not a name for a new recording. Use up to {MAX_NAME} letters, digits, '.', '_' and '-', without a \
             folder, and not beginning with a dot.",
            shown(name)
        )));
    }
    Ok(())
}

/// The beginning of a name that is refused, fit for a sentence.
fn shown(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_debug).collect()
}

/// The name of a new file from what the client gave: the extension is added where it is missing.
///
/// # Errors
/// Invalid, saying what a name may be.
pub fn new_name(given: &str, extension: &str) -> Result<String> {
    check_new_name(given)?;
    let (stem, ending) = split(given);
    if let Some(other) = ending.filter(|ending| !ending.eq_ignore_ascii_case(extension)) {
        return Err(Error::invalid(format!(
            "This server's librealsense writes .{extension} files, not .{other}. Leave the extension out or use \
             .{extension}."
        )));
    }
    if stem.is_empty() || is_partial(given) {
        return Err(Error::invalid(format!(
            "'{given}' is not a name for a new recording: '{PARTIAL}' before the extension marks files that are not complete."
        )));
    }
    let name = format!("{stem}.{extension}");
    // With the extension and the mark it must still be a name.
    check_new_name(&partial_name(&name)).map(|()| name)
}

/// The name for a recording of `device` that began at `unix_seconds`: `844212070924-20260131-235959.bag`, in UTC.
pub fn default_name(device: &str, unix_seconds: u64, extension: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let device: String = device.chars().map(plain).take(MAX_NAME / 2).collect();
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = calendar::civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{device}-{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}.{extension}")
}

/// The name with a number before its extension, for a default name that is taken.
pub fn numbered(name: &str, number: u32) -> String {
    let (stem, ending) = split(name);
    ending.map_or_else(|| format!("{stem}-{number}"), |ending| format!("{stem}-{number}.{ending}"))
}

/// What a file is called until it is complete. It keeps its extension, because librealsense tells formats by it.
pub fn partial_name(name: &str) -> String {
    let (stem, ending) = split(name);
    ending.map_or_else(|| format!("{stem}{PARTIAL}"), |ending| format!("{stem}{PARTIAL}.{ending}"))
}

/// Whether a file of this name is not complete.
pub fn is_partial(name: &str) -> bool {
    split(name).0.ends_with(PARTIAL)
}

/// Whether a file of this name is a recording, by its extension.
pub fn is_recording(name: &str) -> bool {
    check_name(name).is_ok() && split(name).1.is_some()
}

/// A name and its extension, if that is one of a recording.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, ending)) if EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(ending)) => {
            (stem, Some(ending))
        }
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_name_gets_the_extension_and_no_path_gets_through() {
        for (given, expected) in
            [("walk", "walk.bag"), ("walk.bag", "walk.bag"), ("WALK.BAG", "WALK.bag"), ("v1.2", "v1.2.bag")]
        {
            assert_eq!(new_name(given, "bag").unwrap(), expected);
        }
        let long = "x".repeat(MAX_NAME);
        for given in [
            "",
            ".",
            "..",
            ".bag",
            ".hidden",
            "a/b",
            "../a",
            "/etc/passwd",
            "a\\b",
            "a b",
            "a\0",
            "ä",
            "a.partial",
            "a.partial.bag",
            &long,
        ] {
            assert!(new_name(given, "bag").is_err(), "{given:?}");
        }
        let error = new_name("walk.db3", "bag").unwrap_err();
        assert!(error.public().contains(".bag"), "{error}");
        assert!(new_name("walk", "db3").is_ok_and(|name| name == "walk.db3"));
    }

    #[test]
    fn a_file_may_have_any_name_that_is_no_path() {
        let longest = format!("{}.bag", "ü".repeat(125));
        for name in ["walk (1).bag", "läufer 2.bag", "a\\b.db3", "\"';$%.BAG", "散步.db3", "-rf.bag", " .bag", &longest]
        {
            assert!(is_recording(name), "{name:?}");
        }
        for name in ["", ".", "..", ".a.bag", "a/b.bag", "../a.bag", "/a.bag", "a\0.bag", "a\n.bag", "a\u{85}.bag"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        let longer = format!("{}x.bag", "ü".repeat(126));
        assert!(check_name(&longer).is_err());
        let error = check_name("a\x1b[2Jb/").unwrap_err();
        assert!(error.public().contains(r"a\u{1b}[2Jb/"), "{error}");
    }

    #[test]
    fn a_default_name_holds_the_device_and_the_utc_time() {
        for (seconds, expected) in [
            (0, "1-19700101-000000.bag"),
            (951_782_399, "1-20000228-235959.bag"),
            (951_782_400, "1-20000229-000000.bag"),
            (1_767_225_599, "1-20251231-235959.bag"),
            (1_709_251_199, "1-20240229-235959.bag"),
            (4_107_542_400, "1-21000301-000000.bag"),
        ] {
            assert_eq!(default_name("1", seconds, "bag"), expected);
        }
        let odd = default_name("../x y", 0, "db3");
        assert_eq!(odd, "___x_y-19700101-000000.db3");
        assert!(check_new_name(&partial_name(&default_name(&"9".repeat(500), 0, "bag"))).is_ok());
        assert_eq!(numbered("a.bag", 2), "a-2.bag");
    }

    #[test]
    fn an_unfinished_file_keeps_its_extension() {
        assert_eq!(partial_name("walk.bag"), "walk.partial.bag");
        assert!(is_partial("walk.partial.bag") && !is_partial("walk.bag") && !is_partial("partial.bag"));
        assert!(is_recording("walk.db3") && is_recording("walk.partial.bag"));
        assert!(!is_recording("walk.txt") && !is_recording(".x.bag") && !is_recording("bag"));
    }

    #[test]
    fn a_recording_ends_at_the_first_limit() {
        let seconds = Duration::from_secs;
        let limits = Limits { max_bytes: Some(1000), max_time: Some(seconds(10)), min_free_bytes: 500 };
        let progress = |bytes, elapsed, free_bytes| Progress { bytes, elapsed: seconds(elapsed), free_bytes };
        for (progress, expected) in [
            (progress(999, 9, Some(500)), None),
            (progress(999, 9, None), None),
            (progress(1000, 9, None), Some(EndReason::SizeLimit)),
            (progress(0, 10, None), Some(EndReason::TimeLimit)),
            (progress(1000, 10, Some(499)), Some(EndReason::DiskFull)),
        ] {
            assert_eq!(limits.reached(&progress), expected, "{progress:?}");
        }
        let none = Limits { max_bytes: None, max_time: None, min_free_bytes: 0 };
        assert_eq!(none.reached(&progress(u64::MAX, 1 << 30, Some(0))), None);
    }

    #[test]
    fn the_queue_is_bounded_and_takes_one_frame_of_any_size() {
        let queue = QueueLimits { bytes: 100, frames: 3 };
        assert!(queue.admits(0, 0, 1000) && queue.admits(2, 50, 50));
        assert!(!queue.admits(3, 3, 1) && !queue.admits(1, 60, 41) && !queue.admits(1, 1, usize::MAX));
    }
}
