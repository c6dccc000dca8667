//! The folder of the recordings: what lies there, which names are taken, and the way of a file from partial to complete.
//! Every call blocks on the disk.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crate::{
    core::wishes::recording,
    error::{Error, Result},
    process,
    sync::{Mutex, MutexGuard, lock},
};

/// Most files listed: the newest.
const MOST_LISTED: usize = 1000;
/// Most numbers tried for a name that nobody chose.
const MOST_NUMBERS: u32 = 99;

/// A file in the folder.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// Whether it was finished. One that is not is being written, or was left behind when the server died.
    pub complete: bool,
}

/// The folder and the names being written.
pub(super) struct Folder {
    dir: PathBuf,
    writing: Mutex<BTreeSet<String>>,
}

/// A name that is taken as long as this lives.
pub(super) struct Claim {
    folder: Arc<Folder>,
    /// What the file will be called.
    pub(super) name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.folder.writing().remove(&self.name);
    }
}

impl Folder {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, writing: Mutex::default() }
    }

    fn writing(&self) -> MutexGuard<'_, BTreeSet<String>> {
        lock(&self.writing)
    }

    /// Makes the folder when it is not there and checks the space on its disk: for what is to stay free, and for the recorder's
    /// reserve.
    ///
    /// # Errors
    /// Unavailable, saying what to do.
    pub(super) fn prepare(&self, min_free_bytes: u64, reserve: u64) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|error| {
            Error::unavailable(format!(
                "Cannot make the folder for recordings, {}: {error}. Make it so that this server's user may write there, \
                 or set recording.dir in the configuration.",
                self.dir.display()
            ))
        })?;
        // Something must be left to record into.
        let least = min_free_bytes.max(reserve.saturating_add(reserve / 4));
        match self.free_bytes() {
            Some(free) if free < least => Err(Error::unavailable(format!(
                "Only {} MB are free for recordings in {}, and {} MB are needed to begin (recording.min_free_mb, but not less \
                 than the recorder needs). Delete recordings, or set recording.dir to a folder on another disk.",
                free / 1_000_000,
                self.dir.display(),
                least / 1_000_000
            ))),
            _ => Ok(()),
        }
    }

    /// Free space on its disk; `None` where the system does not tell.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        process::free_bytes(&self.dir).ok()
    }

    /// Takes a name for a new file.
    ///
    /// # Errors
    /// Conflict when there is such a file, or one is being written.
    pub(super) fn claim(self: &Arc<Self>, name: &str, may_number: bool) -> Result<Claim> {
        if self.try_claim(name) {
            return Ok(Claim { folder: self.clone(), name: name.to_owned() });
        }
        let mut others = (2..=MOST_NUMBERS).filter(|_| may_number).map(|number| recording::numbered(name, number));
        match others.find(|name| self.try_claim(name)) {
            Some(name) => Ok(Claim { folder: self.clone(), name }),
            None => Err(Error::conflict(format!(
                "There is a recording named {name} already. Choose another name, or delete that one."
            ))),
        }
    }

    fn try_claim(&self, name: &str) -> bool {
        // Under the lock, so that of two who look at once only one finds the name free.
        let mut writing = self.writing();
        // A symbolic link that leads nowhere is a file, too.
        let taken = |name: &str| self.dir.join(name).symlink_metadata().is_ok();
        !writing.contains(name)
            && !taken(name)
            && !taken(&recording::partial_name(name))
            && writing.insert(name.to_owned())
    }

    fn is_being_written(&self, name: &str) -> bool {
        self.writing().iter().any(|writing| writing == name || recording::partial_name(writing) == name)
    }

    pub(super) fn list(&self) -> Result<Vec<RecordingFile>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            // It is made with the first recording.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Error::unavailable(format!(
                    "Cannot read the folder for recordings, {}: {error}. Allow this server's user to read it.",
                    self.dir.display()
                )));
            }
        };
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok().filter(|name| recording::is_recording(name))?;
                // Of the file itself: what a link leads to is no recording of ours. One that vanished meanwhile is gone.
                let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let complete = !recording::is_partial(&name);
                Some(RecordingFile { name, bytes: metadata.len(), modified, complete })
            })
            .collect();
        files.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.name.cmp(&b.name)));
        files.truncate(MOST_LISTED);
        Ok(files)
    }

    pub(super) fn find(&self, name: &str) -> Result<PathBuf> {
        recording::check_name(name)?;
        if self.is_being_written(name) {
            return Err(Error::conflict(format!("{name} is still being written. Stop the recording first.")));
        }
        let path = self.dir.join(name);
        let is_file = recording::is_recording(name) && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file {
            return Ok(path);
        }
        Err(Error::not_found(format!("There is no recording named {name}. GET /api/recordings lists what there is.")))
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let path = self.find(name)?;
        fs::remove_file(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found(format!("{name} is gone already.")),
            _ => Error::unavailable(format!("Cannot delete {name}: {error}. Allow this server's user to write there.")),
        })
    }
}

/// Disk space that is taken for a file beyond its present end, and given back at last.
pub(super) struct Reserve {
    /// `None` where nothing is to be reserved, or nothing can be.
    file: Option<fs::File>,
    bytes: u64,
    until: u64,
}

impl Reserve {
    pub(super) fn new(path: &Path, bytes: u64) -> Self {
        let file = fs::OpenOptions::new().write(true).open(path).ok().filter(|_| bytes > 0);
        Self { file, bytes, until: 0 }
    }

    /// Keeps at least half of the reserve beyond the file's end. False when the disk has too little left.
    pub(super) fn follow(&mut self, size: u64) -> bool {
        let Some(file) = &self.file else { return true };
        if self.until >= size.saturating_add(self.bytes / 2) {
            return true;
        }
        match process::allocate(file, size, self.bytes) {
            Ok(()) => {
                self.until = size.saturating_add(self.bytes);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => false,
            Err(error) => {
                // FAT and NFS, for example: there only the look at the free space guards against a full disk.
                tracing::debug!(%error, "no space can be reserved on this disk");
                self.file = None;
                true
            }
        }
    }

    /// What is taken and not written yet.
    pub(super) fn unused(&self, size: u64) -> u64 {
        if self.file.is_some() { self.until.saturating_sub(size) } else { 0 }
    }

    /// Gives back what was not used. To be called when the file is closed.
    pub(super) fn give_back(self) {
        if let Some(file) = self.file {
            // At worst the space stays taken until the file is deleted.
            let _ = file.metadata().and_then(|metadata| file.set_len(metadata.len()));
        }
    }
}

impl Claim {
    /// Where the file is written.
    pub(super) fn partial_path(&self) -> PathBuf {
        self.folder.dir.join(recording::partial_name(&self.name))
    }

    /// Gives the written file its name.
    ///
    /// # Errors
    /// Unavailable when the system refuses; the file keeps its partial name then.
    pub(super) fn complete(&self) -> Result<PathBuf> {
        let partial = self.partial_path();
        let path = self.folder.dir.join(&self.name);
        // Renaming would replace what somebody put there meanwhile.
        let renamed = if path.symlink_metadata().is_ok() {
            Err(std::io::Error::from(ErrorKind::AlreadyExists))
        } else {
            fs::rename(&partial, &path)
        };
        renamed.map(|()| path).map_err(|error| {
            Error::unavailable(format!(
                "the file stays {}, because it could not be renamed: {error}",
                file_name(&partial)
            ))
        })
    }

    /// Removes what there is of a file that could not be begun.
    pub(super) fn discard(&self) {
        // Mostly there is none.
        let _ = fs::remove_file(self.partial_path());
    }
}

/// Size of a file; 0 when there is none.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
