//! `encoder = "auto"`: which H.264 encoder works on this machine. Owns the order in which they are tried and what was found,
//! once per process; the pipelines themselves are files like any other.

use std::{collections::HashMap, path::PathBuf, sync::PoisonError, time::Duration};

use super::{
    build, library,
    trial::{TryReport, try_pipeline},
};
use crate::{
    config::Config,
    model::{Codec, Profile, StreamKey},
    sync::{Condvar, Mutex, MutexGuard, lock},
};

/// Pipelines with hardware encoders, best first: they cost next to no CPU. A graphics card's encoder before one of the CPU's
/// own graphics; of two doors to the same hardware, the maintained one first.
const HARDWARE: [&str; 6] = ["nvenc.h264", "nvv4l2.h264", "va.h264", "va-lp.h264", "vaapi.h264", "v4l2.h264"];
/// What is left when the stream's own pipeline, x264, does not work either.
const LAST: &str = "openh264.h264";
/// How long a candidate may take. A graphics card that sleeps needs seconds to wake up.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pictures that an encoder may hold back. Hardware keeps up to a few in flight.
const MOST_HELD_BACK: u32 = 5;

/// Longest that finding the best encoder of a stream may take, with some time for reading and parsing each candidate.
pub(in crate::media::gst) const LONGEST: Duration =
    Duration::from_secs((DEADLINE.as_secs() + 1) * (HARDWARE.len() as u64 + 2));

/// What was found in this process.
static FOUND: Mutex<Found> = Mutex::new(Found { names: None, trying: false });
/// Somebody has done trying.
static TRIED: Condvar = Condvar::new();

struct Found {
    /// By folder, own pipeline and size.
    names: Option<HashMap<Place, String>>,
    /// Whether somebody tries: one at a time, because hardware may serve one only.
    trying: bool,
}

impl Found {
    fn get(&self, place: &Place) -> Option<String> {
        self.names.as_ref()?.get(place).cloned()
    }
}

fn table() -> MutexGuard<'static, Found> {
    // Never held while something is tried.
    lock(&FOUND)
}

/// Folder, own pipeline and size.
type Place = (PathBuf, String, Profile);

/// The names in the order they are tried, for a stream whose own pipeline is `own`.
pub(in crate::media::gst) fn candidates(own: &str) -> Vec<String> {
    let own = [own, LAST].map(ToOwned::to_owned);
    HARDWARE.iter().map(|name| (*name).to_owned()).chain(own).collect()
}

fn place(config: &Config, key: &StreamKey) -> Place {
    let own = library::default_of(key.stream, Codec::H264);
    (config.pipelines.dir.clone(), own, config.streams.of(key.stream).profile())
}

/// What [`best`] found for a stream; tries nothing.
pub(in crate::media::gst) fn found(config: &Config, key: &StreamKey) -> Option<String> {
    table().get(&place(config, key))
}

/// The first H.264 pipeline that works, tried with test pictures at the stream's configured size; the stream's own where none
/// does. Takes at most [`DEADLINE`] for each candidate, the first time; remembered from then on. Waits while others try.
pub(in crate::media::gst) fn best(config: &Config, key: &StreamKey) -> String {
    let place = place(config, key);
    {
        let waited = TRIED.wait_while(table(), |state| state.trying && state.get(&place).is_none());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = state.get(&place) {
            return name;
        }
        state.trying = true;
    }
    // Also when trying panics.
    let _trying = Trying;
    let name = try_all(config, key);
    table().names.get_or_insert_default().insert(place, name.clone());
    name
}

/// While it lives, nobody else tries.
struct Trying;

impl Drop for Trying {
    fn drop(&mut self) {
        table().trying = false;
        TRIED.notify_all();
    }
}

fn try_all(config: &Config, key: &StreamKey) -> String {
    let (_, own, profile) = place(config, key);
    let values = build::values(config, key, profile);
    let mut refused = Vec::new();
    let taken = candidates(&own).into_iter().find(|name| {
        let Some(text) = library::read(config, name) else { return false };
        let tried = try_pipeline(&text, &values, Codec::H264, DEADLINE).map_err(|fault| fault.message).and_then(suits);
        match tried {
            Ok(report) => {
                let (encoder, first) = (&report.encoder, report.first);
                tracing::info!(stream = %key.stream, pipeline = %name, %encoder, ?first, "Encoder chosen: the best that works");
                true
            }
            Err(why) => {
                refused.push(format!("{name}: {why}"));
                false
            }
        }
    });
    for why in &refused {
        tracing::info!(stream = %key.stream, "Encoder not taken: {why}");
    }
    taken.unwrap_or_else(|| {
        tracing::error!(stream = %key.stream, "No H.264 encoder works on this machine; going on with {own}");
        own
    })
}

/// Whether a pipeline that works also serves viewers who come later, without delay.
fn suits(report: TryReport) -> Result<TryReport, String> {
    if report.held_back > MOST_HELD_BACK {
        return Err(format!("{} holds {} pictures back", report.encoder, report.held_back));
    }
    if !report.key_on_request {
        return Err(format!("{} makes no key frame when one is asked for", report.encoder));
    }
    if !report.headers_repeat {
        return Err(format!("{} does not repeat its headers with every key frame", report.encoder));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceId, StreamType};

    fn broken(folder: &std::path::Path, names: &[&str]) {
        for name in names {
            std::fs::write(folder.join(format!("{name}.gst")), "appsrc name=source ! nosuch").expect("written");
        }
    }

    #[test]
    fn the_first_that_works_is_taken_and_remembered() {
        gst::init().expect("GStreamer");
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.pipelines.dir = folder.path().into();
        config.pipelines.encoder = "auto".into();
        (config.streams.infrared.width, config.streams.infrared.height) = (320, 240);
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Infrared(2));
        broken(folder.path(), &HARDWARE);
        // It is registered and parses, but no picture comes out of it.
        let blocked = library::read(&config, "infrared.h264").expect("built in");
        let blocked = blocked.text.replace("! identity", "! valve drop=true ! identity");
        std::fs::write(folder.path().join("infrared.h264.gst"), blocked).expect("written");
        assert_eq!(crate::media::gst::pipelines::choice::choose(&config, &key, Codec::H264), "openh264.h264");
        std::fs::remove_file(folder.path().join("infrared.h264.gst")).expect("removed");
        assert_eq!(best(&config, &key), "openh264.h264", "remembered");
        config.streams.infrared.width = 424;
        assert_eq!(best(&config, &key), "infrared.h264", "another size is tried anew");
        broken(folder.path(), &["infrared.h264", LAST]);
        config.streams.infrared.width = 480;
        assert_eq!(best(&config, &key), "infrared.h264", "the stream's own where nothing works");
    }
}
