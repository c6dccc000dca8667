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

use super::{library, status::PipelineStatus, text::Text};
use crate::{
    config::Config,
    error::{Error, Result},
    media::{
        diagnostics::{Answer, ReloadAnswer, ReloadError},
        gst::port::Port,
    },
    model::PipelineInfo,
    sync::{Mutex, lock},
};

/// How often the folder is looked at. A file counts as saved when two looks in a row find it the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait for a question where no folder is watched.
const LONG: Duration = Duration::from_secs(3600);
/// Questions that may wait; more than these are refused.
const MAX_WAITING: usize = 16;
/// Most who wait for one listing: as many as there are connections at a time.
const MAX_LISTENERS: usize = 1024;
/// Files that are watched at most.
const MAX_FILES: usize = 500;

/// A pipeline was read, or why not: because its file was saved, or because somebody asked.
pub(in crate::media::gst) struct FileRead {
    pub(in crate::media::gst) name: String,
    pub(in crate::media::gst) text: Result<Text, String>,
    pub(in crate::media::gst) reply: Option<ReloadAnswer>,
}

/// The thread's handle.
pub(in crate::media::gst) struct Files {
    asks: mpsc::SyncSender<Ask>,
    listing: Arc<Mutex<Listing>>,
    /// Why there is no thread; nothing is asked then.
    trouble: Option<Error>,
}

/// A listing that the thread has not begun. Whoever asks until then shares it: the first listing makes every element, which
/// takes seconds, and a page that is opened by many must not ask for it as often.
#[derive(Default)]
struct Listing {
    /// As the last who asked knew it.
    standing: BTreeMap<String, PipelineStatus>,
    replies: Vec<Answer<Vec<PipelineInfo>>>,
}

enum Ask {
    /// What [`Listing`] says.
    List,
    One(String, Box<PipelineStatus>, ReloadAnswer),
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
    pub(in crate::media::gst) fn start(config: &Arc<Config>, port: Port<FileRead>) -> std::io::Result<Self> {
        let (files, inbox) = Self::with_inbox();
        let (config, listing) = (config.clone(), files.listing.clone());
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
                        port.tell(FileRead { name, text, reply: Some(reply) });
                    }
                    Ok(Ask::List) => answer_all(&listing, |standing| known.list(&config, standing)),
                    Ok(Ask::One(name, standing, reply)) => {
                        let one = whole(|| known.describe(&config, &name, *standing));
                        // Who has given up needs no answer.
                        let _ = reply.send(one.map_err(ReloadError::Refused).and_then(|one| one));
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(Ask::End) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
                if watched && look_at <= Instant::now() {
                    look_at = Instant::now() + LOOK_EVERY;
                    let changed = whole(|| watch.changed(look(&config.pipelines.dir))).unwrap_or_default();
                    for name in changed {
                        let text = read(&config, &name);
                        // The control thread is gone only while the program ends.
                        port.tell(FileRead { name, text, reply: None });
                    }
                }
            }
        })?;
        Ok(files)
    }

    /// A handle without a thread: nothing is watched and every question refused.
    pub(in crate::media::gst) fn idle() -> Self {
        let trouble = Some(Error::internal("pipeline files are asked for where nobody reads them"));
        Self { trouble, ..Self::with_inbox().0 }
    }

    fn with_inbox() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, inbox) = mpsc::sync_channel(MAX_WAITING);
        (Self { asks, listing: Arc::default(), trouble: None }, inbox)
    }

    /// Ends the thread.
    pub(in crate::media::gst) fn stop(&self) {
        // Full: it ends with its handle.
        let _ = self.asks.try_send(Ask::End);
    }

    /// Answers with every pipeline, as it is after this was asked.
    pub(in crate::media::gst) fn list(
        &self,
        standing: BTreeMap<String, PipelineStatus>,
        reply: Answer<Vec<PipelineInfo>>,
    ) {
        let mut listing = lock(&self.listing);
        if listing.replies.len() >= MAX_LISTENERS {
            listing.replies.retain(|reply| !reply.is_closed());
        }
        if listing.replies.len() >= MAX_LISTENERS {
            drop(listing);
            let busy = "Too many requests wait for the list of pipelines; try again in a moment.";
            return drop(reply.send(Err(Error::busy(busy))));
        }
        listing.standing = standing;
        listing.replies.push(reply);
        let is_first = listing.replies.len() == 1;
        drop(listing);
        if is_first && let Err((_, why)) = self.ask(Ask::List).map_err(|refused| *refused) {
            let replies = std::mem::take(&mut lock(&self.listing).replies);
            replies.into_iter().for_each(|reply| drop(reply.send(Err(why.clone()))));
        }
    }

    /// Reads a pipeline for a reload.
    pub(in crate::media::gst) fn read(&self, name: String, reply: ReloadAnswer) {
        if let Err((Ask::Read(_, reply), why)) = self.ask(Ask::Read(name, reply)).map_err(|refused| *refused) {
            let _ = reply.send(Err(ReloadError::Refused(why)));
        }
    }

    /// Answers a reload with the pipeline as it is now.
    pub(in crate::media::gst) fn describe(&self, name: &str, standing: PipelineStatus, reply: ReloadAnswer) {
        let asked = self.ask(Ask::One(name.into(), Box::new(standing), reply)).map_err(|refused| *refused);
        if let Err((Ask::One(name, _, reply), why)) = asked {
            let done = format!(
                "'{name}' is reloaded, but cannot be described now; GET /api/pipelines shows it later: {}",
                why.public()
            );
            let _ = reply.send(Err(ReloadError::Refused(Error::busy(done))));
        }
    }

    /// Has the thread do something; gives it back with the reason where it cannot.
    fn ask(&self, ask: Ask) -> Result<(), Box<(Ask, Error)>> {
        if let Some(trouble) = &self.trouble {
            return Err(Box::new((ask, trouble.clone())));
        }
        self.asks.try_send(ask).map_err(|refused| match refused {
            mpsc::TrySendError::Full(ask) => {
                Box::new((ask, Error::busy("Too many pipelines are asked for at once; try again in a moment.")))
            }
            // The thread lives as long as this handle, but for the server's end.
            mpsc::TrySendError::Disconnected(ask) => Box::new((ask, Error::stopping())),
        })
    }
}

/// Makes one list for everybody who waits for one by now.
fn answer_all(listing: &Mutex<Listing>, make: impl FnOnce(BTreeMap<String, PipelineStatus>) -> Vec<PipelineInfo>) {
    let Listing { standing, replies } = std::mem::take(&mut *lock(listing));
    // Who has given up needs no answer.
    let replies: Vec<_> = replies.into_iter().filter(|reply| !reply.is_closed()).collect();
    if replies.is_empty() {
        return;
    }
    let list = whole(|| make(standing));
    replies.into_iter().for_each(|reply| drop(reply.send(list.clone())));
}

/// What `make` comes to. An assertion in a binding costs the answer, not the thread.
fn whole<T>(make: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(make)).map_err(|_| Error::internal("describing the pipeline files panicked"))
}

/// Reads a pipeline, or says why not. A panic costs this answer, not the thread.
fn read(config: &Config, name: &str) -> Result<Text, String> {
    let read = || library::read(config, name).ok_or_else(|| library::no_such(config, name));
    whole(read).unwrap_or_else(|error| Err(error.public().to_owned()))
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

    fn list(&mut self, config: &Config, mut standing: BTreeMap<String, PipelineStatus>) -> Vec<PipelineInfo> {
        let names = library::names(config);
        self.0.retain(|name, _| names.contains(name));
        let infos = names.iter().filter_map(|name| self.info(config, name));
        infos.map(|info| standing.remove(&info.name).unwrap_or_default().complete(info)).collect()
    }

    fn describe(&mut self, config: &Config, name: &str, standing: PipelineStatus) -> Result<PipelineInfo, ReloadError> {
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
    use crate::error::Kind;

    fn listen(files: &Files) -> tokio::sync::oneshot::Receiver<Result<Vec<PipelineInfo>>> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        files.list(BTreeMap::new(), reply);
        answer
    }

    #[test]
    fn who_asks_for_the_list_meanwhile_shares_it() {
        let (files, inbox) = Files::with_inbox();
        let answers: Vec<_> = (0..60).map(|_| listen(&files)).collect();
        let asked = inbox.try_iter().collect::<Vec<_>>();
        assert!(matches!(asked[..], [Ask::List]), "one question for all");
        let mut made = 0;
        let info = PipelineInfo { name: "color.h264".into(), ..PipelineInfo::default() };
        let mut late = None;
        answer_all(&files.listing, |_| {
            made += 1;
            // What is saved from now on is not in the list that is being made.
            late = Some(listen(&files));
            vec![info]
        });
        for answer in answers {
            let list = answer.blocking_recv().expect("an answer").expect("a list");
            assert_eq!(list.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["color.h264"]);
        }
        assert_eq!(made, 1);
        assert!(matches!(inbox.try_recv(), Ok(Ask::List)), "who came later gets a list of their own");
        answer_all(&files.listing, |_| Vec::new());
        assert!(late.expect("asked").blocking_recv().expect("an answer").expect("a list").is_empty());
    }

    #[test]
    fn the_cause_of_a_refusal_is_told() {
        let (files, inbox) = Files::with_inbox();
        let reload = || {
            let (reply, answer) = tokio::sync::oneshot::channel();
            files.read("color.h264".into(), reply);
            answer
        };
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| reload()).collect();
        let Ok(Err(ReloadError::Refused(busy))) = reload().blocking_recv() else { panic!("it is refused") };
        assert!(matches!(busy.kind(), Kind::Unavailable { .. }) && busy.public().contains("Too many"), "{busy}");
        let (reply, answer) = tokio::sync::oneshot::channel();
        files.describe("color.h264", PipelineStatus::default(), reply);
        let Ok(Err(ReloadError::Refused(busy))) = answer.blocking_recv() else { panic!("it is refused") };
        let told = busy.public();
        assert!(told.contains("'color.h264' is reloaded") && told.contains("Too many"), "what is done is said: {told}");
        // The queue is full for the list, too.
        let busy = listen(&files).blocking_recv().expect("an answer").expect_err("refused");
        assert!(busy.public().contains("Too many"), "{busy}");
        drop((inbox, waiting));
        let gone = listen(&files).blocking_recv().expect("an answer").expect_err("refused");
        assert!(gone.public().contains("shutting down"), "{gone}");

        let (files, _inbox) = Files::with_inbox();
        let answer = listen(&files);
        answer_all(&files.listing, |_| panic!("an assertion"));
        assert_eq!(answer.blocking_recv().expect("an answer").expect_err("a bug").kind(), Kind::Internal);
        let idle = listen(&Files::idle()).blocking_recv().expect("an answer").expect_err("nobody reads");
        assert_eq!(idle.kind(), Kind::Internal);
    }

    #[test]
    fn a_listing_has_a_bound_and_who_gave_up_takes_no_place() {
        let (files, _inbox) = Files::with_inbox();
        let waiting: Vec<_> = (0..MAX_LISTENERS).map(|_| listen(&files)).collect();
        let busy = listen(&files).blocking_recv().expect("an answer").expect_err("refused");
        assert!(busy.public().contains("Too many"), "{busy}");
        drop(waiting);
        let mut waits = listen(&files);
        assert!(waits.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Empty));
        answer_all(&files.listing, |_| Vec::new());
        assert!(waits.blocking_recv().expect("an answer").is_ok());
    }

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
