//! Watches the folder of pipeline files and tells what the files hold. Owns a thread that looks twice a second: unlike the
//! kernel's notifications that works through bind mounts, network folders and editors that replace files. It ends with its
//! handle.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime},
};

use super::{
    context::Msg,
    inbox,
    library::{self, Text},
    streams::{ReloadAnswer, Standing},
};
use crate::{
    config::Config,
    error::Error,
    media::diagnostics::{Answer, ReloadError},
    model::PipelineInfo,
};

/// How often the folder is looked at. A file counts as saved when two looks in a row find it the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait for a question where no folder is watched.
const LONG: Duration = Duration::from_secs(3600);
/// Questions that may wait; whoever asks more is refused.
const MAX_WAITING: usize = 16;
/// Files that are watched at most.
const MAX_FILES: usize = 500;

/// The thread's handle.
pub(super) struct Files {
    asks: mpsc::SyncSender<Ask>,
}

enum Ask {
    List(BTreeMap<String, Standing>, Answer<Vec<PipelineInfo>>),
    One(String, Box<Standing>, ReloadAnswer),
    Read(String, ReloadAnswer),
    End,
}

/// What shows that a file changed.
type Stamp = (Option<SystemTime>, u64);

impl Files {
    /// Starts the thread; saved files are told to the control thread unless `pipelines.reload` is off.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(config: &Arc<Config>, control: inbox::Sender) -> std::io::Result<Self> {
        let (asks, inbox) = mpsc::sync_channel(MAX_WAITING);
        let config = config.clone();
        std::thread::Builder::new().name("pipeline-files".into()).spawn(move || {
            let watched = config.pipelines.reload;
            let mut watch = Watch::new(if watched { look(&config.pipelines.dir) } else { BTreeMap::new() });
            let mut look_at = Instant::now() + LOOK_EVERY;
            let mut known = Known::default();
            loop {
                // By the clock: questions, however many, put no look off.
                let wait = if watched { look_at.saturating_duration_since(Instant::now()) } else { LONG };
                match inbox.recv_timeout(wait) {
                    Ok(Ask::Read(name, reply)) => {
                        let text = read(&config, &name);
                        let _ = control.send(Msg::FileRead(name, text, Some(reply)));
                    }
                    // An assertion in a binding costs the answer, not the thread.
                    Ok(Ask::List(standing, reply)) => {
                        let list = catch_unwind(AssertUnwindSafe(|| known.list(&config, standing)));
                        drop(list.map(|list| reply.send(list)));
                    }
                    Ok(Ask::One(name, standing, reply)) => {
                        let one = catch_unwind(AssertUnwindSafe(|| known.describe(&config, &name, *standing)));
                        if let Ok(one) = one {
                            let _ = reply.send(one);
                        }
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(Ask::End) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
                if watched && look_at <= Instant::now() {
                    look_at = Instant::now() + LOOK_EVERY;
                    for name in watch.changed(look(&config.pipelines.dir)) {
                        // The control thread is gone only while the program ends.
                        let text = read(&config, &name);
                        let _ = control.send(Msg::FileRead(name, text, None));
                    }
                }
            }
        })?;
        Ok(Self { asks })
    }

    /// A handle without a thread: nothing is watched and every question refused.
    pub(super) fn idle() -> Self {
        Self { asks: mpsc::sync_channel(1).0 }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        // Full: it ends with its handle.
        let _ = self.asks.try_send(Ask::End);
    }

    /// Answers with every pipeline.
    pub(super) fn list(&self, standing: BTreeMap<String, Standing>, reply: Answer<Vec<PipelineInfo>>) {
        // Full: the reply is dropped, and whoever asked hears that the server is busy.
        let _ = self.asks.try_send(Ask::List(standing, reply));
    }

    /// Reads a pipeline for a reload.
    pub(super) fn read(&self, name: String, reply: ReloadAnswer) {
        let _ = self.asks.try_send(Ask::Read(name, reply));
    }

    /// Answers a reload with the pipeline as it is now.
    pub(super) fn describe(&self, name: &str, standing: Standing, reply: ReloadAnswer) {
        let _ = self.asks.try_send(Ask::One(name.into(), Box::new(standing), reply));
    }
}

fn read(config: &Config, name: &str) -> Result<Text, String> {
    library::read(config, name).ok_or_else(|| library::no_such(config, name))
}

/// What the files say, kept as long as their texts are the same: finding it out makes every element, hardware encoders too.
#[derive(Default)]
struct Known(BTreeMap<String, (Text, PipelineInfo)>);

impl Known {
    fn info(&mut self, config: &Config, name: &str) -> Option<PipelineInfo> {
        let text = library::read(config, name)?;
        if let Some((known, info)) = self.0.get(name)
            && *known == text
        {
            return Some(info.clone());
        }
        let info = library::info_of(config, &text);
        self.0.insert(name.into(), (text, info.clone()));
        Some(info)
    }

    fn list(&mut self, config: &Config, mut standing: BTreeMap<String, Standing>) -> Vec<PipelineInfo> {
        let names = library::names(config);
        self.0.retain(|name, _| names.contains(name));
        let infos = names.iter().filter_map(|name| self.info(config, name));
        infos.map(|info| standing.remove(&info.name).unwrap_or_default().complete(info)).collect()
    }

    fn describe(&mut self, config: &Config, name: &str, standing: Standing) -> Result<PipelineInfo, ReloadError> {
        let gone = || Error::not_found(format!("There is no pipeline '{name}' any more."));
        let info = self.info(config, name).ok_or_else(|| ReloadError::Refused(gone()))?;
        Ok(standing.complete(info))
    }
}

/// The pipeline files of a folder by name. A folder that cannot be read has none.
fn look(dir: &Path) -> BTreeMap<String, Stamp> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeMap::new() };
    let stamp = |entry: std::fs::DirEntry| {
        let name = library::name_of(entry.file_name().to_str()?)?.to_owned();
        // Through links: what counts is the file that is read.
        let metadata = std::fs::metadata(entry.path()).ok()?;
        Some((name, (metadata.modified().ok(), metadata.len())))
    };
    entries.flatten().filter_map(stamp).take(MAX_FILES).collect()
}

/// Tells which files changed, once each has come to rest.
struct Watch {
    /// As last told.
    known: BTreeMap<String, Stamp>,
    /// As last seen.
    seen: BTreeMap<String, Stamp>,
}

impl Watch {
    fn new(found: BTreeMap<String, Stamp>) -> Self {
        Self { known: found.clone(), seen: found }
    }

    /// Takes a look's result; gives back the names that are new, changed or gone since they were last told.
    fn changed(&mut self, found: BTreeMap<String, Stamp>) -> Vec<String> {
        let names: Vec<String> = self.known.keys().chain(found.keys()).cloned().collect();
        let mut changed = Vec::new();
        for name in names {
            let now = found.get(&name);
            let (known, rests) = (self.known.get(&name), self.seen.get(&name) == now);
            if rests && known != now && !changed.contains(&name) {
                changed.push(name);
            }
        }
        for name in &changed {
            match found.get(name) {
                Some(stamp) => self.known.insert(name.clone(), *stamp),
                None => self.known.remove(name),
            };
        }
        self.seen = found;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(files: &[(&str, u64)]) -> BTreeMap<String, Stamp> {
        files.iter().map(|(name, size)| ((*name).to_owned(), (None, *size))).collect()
    }

    #[test]
    fn a_file_is_told_once_and_only_when_it_rests() {
        let mut watch = Watch::new(stamps(&[("a", 1), ("b", 1)]));
        assert!(watch.changed(stamps(&[("a", 1), ("b", 1)])).is_empty());
        assert!(watch.changed(stamps(&[("a", 2), ("b", 1)])).is_empty(), "it may still be being written");
        assert!(watch.changed(stamps(&[("a", 3), ("b", 1)])).is_empty());
        assert_eq!(watch.changed(stamps(&[("a", 3), ("b", 1)])), ["a"]);
        assert!(watch.changed(stamps(&[("a", 3), ("b", 1)])).is_empty());
        // An editor that replaces a file: gone for one look only.
        assert!(watch.changed(stamps(&[("b", 1)])).is_empty());
        assert!(watch.changed(stamps(&[("a", 3), ("b", 1)])).is_empty());
        assert!(watch.changed(stamps(&[("b", 1), ("c", 1)])).is_empty());
        assert_eq!(watch.changed(stamps(&[("b", 1), ("c", 1)])), ["a", "c"]);
    }

    #[test]
    fn only_pipeline_files_are_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.h264.gst"), "x").expect("writes");
        std::fs::write(folder.path().join("a.h264.gst.swp"), "x").expect("writes");
        assert_eq!(look(folder.path()).into_keys().collect::<Vec<_>>(), ["a.h264"]);
        assert!(look(Path::new("/nonexistent")).is_empty());
    }
}
