//! Finds, loads and checks the SDK's library.

use std::{
    fmt,
    panic::catch_unwind,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};
use realsense_sys as sys;

use super::ffi::{Api, text};
use crate::sync::{Mutex, lock};

/// The oldest version whose interface fits. Older ones lack functions that are needed, and none was tried.
pub const OLDEST: Version = Version { major: 2, minor: 56, patch: 0 };

/// The newest minor version that file names are tried for where only a versioned name is installed. The vendor's packages
/// install `librealsense2.so.2.NN` and put `librealsense2.so` into the -dev package.
const NEWEST_MINOR: u32 = 75;

/// A version of librealsense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 for ever.
    pub major: u32,
    /// Grows with each release.
    pub minor: u32,
    /// Grows with each repair.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Reads librealsense's number: 2.56.5 is 25605.
    fn from_number(number: i32) -> Self {
        let number = u32::try_from(number).unwrap_or(0);
        Self { major: number / 10_000, minor: number / 100 % 100, patch: number % 100 }
    }
}

/// Why there is no SDK.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// None was found where one is usually installed.
    #[error(
        "librealsense2 is not installed. Real cameras and recordings need it: install the vendor's package librealsense2 \
         (https://github.com/realsenseai/librealsense/blob/master/doc/distribution_linux.md), or run \
         scripts/get_librealsense.sh and, where the server runs as another user, name the file that it prints with \
         realsense.library"
    )]
    NotFound,
    /// The file that was named cannot be loaded.
    #[error("cannot load {file}: {reason}")]
    Unloadable {
        /// The file.
        file: String,
        /// The loader's words.
        reason: String,
    },
    /// It is no librealsense, or not one that fits.
    #[error("{file} does not fit: {reason}")]
    Unfit {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl LoadError {
    /// Whether the file itself is not there. The loader's words begin with the file that is missing, which is another one when
    /// the library is there but something that it needs is not.
    fn is_absence(&self) -> bool {
        match self {
            Self::Unloadable { file, reason } => {
                reason.starts_with(&format!("{file}:")) && reason.contains("No such file")
            }
            _ => false,
        }
    }
}

/// The loaded SDK. A process loads one and keeps it; cheap to copy.
#[derive(Clone, Copy)]
pub struct Sdk {
    pub(super) api: &'static Api,
    version: Version,
}

impl fmt::Debug for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "librealsense {}", self.version)
    }
}

static LOADED: OnceLock<Sdk> = OnceLock::new();

/// The functions, once a library was loaded.
pub(super) fn loaded() -> Option<&'static Api> {
    LOADED.get().map(|sdk| sdk.api)
}

impl Sdk {
    /// Loads the library: `file` if it is given (a folder stands for the library in it or in its `lib`), else by the loader's
    /// usual path, else what `scripts/install.sh` has put beside the program, else what `scripts/get_librealsense.sh` has put
    /// into the user's cache. Later calls give what the first one that worked loaded.
    ///
    /// # Errors
    /// Not there, not loadable, not librealsense, or a version that does not fit.
    pub fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        // Two loads at once would keep two libraries for ever.
        static LOADING: Mutex<()> = Mutex::new(());
        let _one = lock(&LOADING);
        if let Some(sdk) = LOADED.get() {
            return Ok(*sdk);
        }
        let sdk = match file {
            Some(path) => Self::open_and_check(&in_folder(path))?,
            None => Self::search()?,
        };
        Ok(*LOADED.get_or_init(|| sdk))
    }

    fn open_and_check(path: &Path) -> Result<Self, LoadError> {
        let file = path.display().to_string();
        let library = open(path).map_err(|reason| LoadError::Unloadable { file: file.clone(), reason })?;
        Self::check(&file, library)
    }

    /// Tries the names under which it is usually installed. One that does not fit does not hide one that does.
    fn search() -> Result<Self, LoadError> {
        let versioned = (OLDEST.minor..=NEWEST_MINOR).rev().map(|minor| format!("librealsense2.so.2.{minor}"));
        let mut first_problem = LoadError::NotFound;
        let names = std::iter::once("librealsense2.so".to_owned()).chain(versioned).map(PathBuf::from);
        let home = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = home("XDG_CACHE_HOME").or_else(|| Some(home("HOME")?.join(".cache")));
        let fetched = cache.map(|cache| fetched_into(&cache)).unwrap_or_default();
        let program = std::env::current_exe().ok();
        let installed = program.and_then(|program| installed_beside(&program));
        for name in names.chain(installed).chain(fetched) {
            match Self::open_and_check(&name) {
                Ok(sdk) => return Ok(sdk),
                Err(problem) if problem.is_absence() => {}
                Err(problem) if first_problem == LoadError::NotFound => first_problem = problem,
                Err(_) => {}
            }
        }
        Err(first_problem)
    }

    fn check(file: &str, library: Library) -> Result<Self, LoadError> {
        let unfit = |reason: String| LoadError::Unfit { file: file.to_owned(), reason };
        let library = libloading::Library::from(library);
        // SAFETY: the function's signature is the same in every librealsense 2.
        let version = unsafe {
            let get = library.get::<unsafe extern "C" fn(*mut *mut sys::rs2_error) -> i32>(b"rs2_get_api_version\0");
            let get = get.map_err(|_| unfit("it is not librealsense2".into()))?;
            Version::from_number(get(std::ptr::null_mut()))
        };
        if version.major != OLDEST.major || version < OLDEST {
            return Err(unfit(format!("it is version {version}; 2.56 or newer is needed")));
        }
        let api = Api::load(&library).map_err(|name| {
            unfit(format!("version {version} has no function {name}; 2.56 to 2.59 are known to work"))
        })?;
        // Never unloaded: the SDK's threads and exit handlers would run into nothing.
        std::mem::forget(library);
        let api: &'static Api = Box::leak(Box::new(api));
        api.forward_log();
        Ok(Self { api, version })
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The extension of the recordings that it writes: ROS 2 bags from the version on that can convert the older ROS 1 bags
    /// (2.56 writes "bag", 2.59 "db3" and plays both).
    pub fn recording_extension(&self) -> &'static str {
        if self.api.rs2_convert_bag_to_db3.is_some() { "db3" } else { "bag" }
    }
}

/// The library that a folder stands for.
fn in_folder(path: &Path) -> PathBuf {
    const NAME: &str = "librealsense2.so";
    if !path.is_dir() {
        return path.to_owned();
    }
    let below = path.join("lib").join(NAME);
    if !path.join(NAME).exists() && below.exists() { below } else { path.join(NAME) }
}

/// What `scripts/install.sh` has put beside the program: `/usr/local/lib/realsense-webrtc/librealsense` for `/usr/local/bin`.
fn installed_beside(program: &Path) -> Option<PathBuf> {
    let library = in_folder(&program.parent()?.parent()?.join("lib/realsense-webrtc/librealsense"));
    library.is_file().then_some(library)
}

/// What `scripts/get_librealsense.sh` has put into a cache folder. The oldest comes first, which is the script's own default:
/// others were asked for by their number.
fn fetched_into(cache: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(cache.join("realsense-webrtc/librealsense")).into_iter().flatten().flatten();
    // A folder that the script has not finished has another name, and no stamp.
    let complete = folders.map(|entry| entry.path()).filter(|folder| folder.join("complete").is_file());
    let numbers = |folder: &Path| -> Vec<u32> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
    };
    let mut found: Vec<_> = complete.collect();
    found.sort_by_key(|folder| numbers(folder));
    found.iter().map(|folder| in_folder(folder)).collect()
}

fn open(path: &Path) -> Result<Library, String> {
    // SAFETY: librealsense's initialisers set up its own state only. LOCAL keeps the compression libraries that it
    // re-exports from replacing the system's; LAZY lets a wheel's library load, whose Python functions are never called.
    unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_LOCAL) }.map_err(|error| error.to_string())
}

impl Api {
    /// Sends the SDK's warnings to the log.
    fn forward_log(&self) {
        static FORWARDED: AtomicBool = AtomicBool::new(false);
        if FORWARDED.swap(true, Ordering::Relaxed) {
            return;
        }
        let least = sys::rs2_log_severity_RS2_LOG_SEVERITY_WARN;
        // SAFETY: the callback is a function of this program and takes no user data.
        self.attempt(|error| unsafe { (self.rs2_log_to_callback)(least, Some(on_log), std::ptr::null_mut(), error) });
    }
}

/// What the SDK calls an error although all is well, and reads as if it came from this program: its viewer's file of settings,
/// `~/.realsense-config.json`, is not there (2.56.5).
const USUAL: [&str; 1] = ["No valid configuration file found"];

unsafe extern "C" fn on_log(
    severity: sys::rs2_log_severity,
    message: *const sys::rs2_log_message,
    _user: *mut std::ffi::c_void,
) {
    // A panic must not unwind into C++; a line of the log may be lost.
    let _ = catch_unwind(|| {
        let Some(api) = loaded() else { return };
        // SAFETY: the message lives during the callback.
        let Ok(words) = api.call(|error| unsafe { text((api.rs2_get_raw_log_message)(message, error)) }) else {
            return;
        };
        let severe = severity >= sys::rs2_log_severity_RS2_LOG_SEVERITY_ERROR;
        if severe && !USUAL.iter().any(|usual| words.contains(usual)) {
            tracing::warn!(target: "librealsense", "{words}");
        } else {
            tracing::debug!(target: "librealsense", "{words}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_the_library_in_it_or_below() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        assert_eq!(in_folder(Path::new("/x/librealsense2.so")), Path::new("/x/librealsense2.so"));
        assert_eq!(in_folder(path), path.join("librealsense2.so"), "which the refusal names");
        std::fs::create_dir(path.join("lib")).expect("a folder");
        std::fs::write(path.join("lib/librealsense2.so"), "").expect("a file");
        assert_eq!(in_folder(path), path.join("lib/librealsense2.so"));
        std::fs::write(path.join("librealsense2.so"), "").expect("a file");
        assert_eq!(in_folder(path), path.join("librealsense2.so"));
    }

    #[test]
    fn what_was_installed_beside_the_program_is_found() {
        let prefix = tempfile::tempdir().expect("a folder");
        let program = prefix.path().join("bin/realsense-webrtc");
        assert_eq!(installed_beside(&program), None);
        let lib = prefix.path().join("lib/realsense-webrtc/librealsense/lib");
        std::fs::create_dir_all(&lib).expect("folders");
        std::fs::write(lib.join("librealsense2.so"), "").expect("a file");
        assert_eq!(installed_beside(&program), Some(lib.join("librealsense2.so")));
        assert_eq!(installed_beside(Path::new("realsense-webrtc")), None);
    }

    #[test]
    fn what_the_script_has_fetched_is_found_once_it_is_complete() {
        let cache = tempfile::tempdir().expect("a folder");
        assert!(fetched_into(cache.path()).is_empty());
        let base = cache.path().join("realsense-webrtc/librealsense");
        for version in ["2.59.1.11053", "2.56.5.9235", "2.100.0.1", "2.56.5.9235.a8Zx3k"] {
            std::fs::create_dir_all(base.join(version).join("lib")).expect("a folder");
            std::fs::write(base.join(version).join("lib/librealsense2.so"), "").expect("a file");
            if version.split('.').count() == 4 {
                std::fs::write(base.join(version).join("complete"), version).expect("a file");
            }
        }
        let found = fetched_into(cache.path());
        let expected = ["2.56.5.9235", "2.59.1.11053", "2.100.0.1"];
        assert_eq!(found, expected.map(|version| base.join(version).join("lib/librealsense2.so")));
    }

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(Version::from_number(25605).to_string(), "2.56.5");
        assert_eq!(Version::from_number(25901).to_string(), "2.59.1");
        assert!(Version::from_number(25600) >= OLDEST && Version::from_number(25501) < OLDEST);
        assert_eq!(Version::from_number(-1).major, 0);
    }

    #[test]
    fn what_is_no_librealsense_is_refused_in_words() {
        let text = Sdk::load(Some(Path::new("/nonexistent/librealsense2.so"))).unwrap_err().to_string();
        assert!(text.contains("cannot load /nonexistent/librealsense2.so"), "{text}");
        let file = tempfile::Builder::new().suffix(".so").tempfile().expect("a file");
        let text = Sdk::load(Some(file.path())).unwrap_err().to_string();
        assert!(text.contains("cannot load"), "{text}");
        let absent = LoadError::Unloadable {
            file: "librealsense2.so".into(),
            reason: "librealsense2.so: cannot open shared object file: No such file or directory".into(),
        };
        let dependency = LoadError::Unloadable {
            file: "librealsense2.so".into(),
            reason: "libusb-1.0.so.0: cannot open shared object file: No such file or directory".into(),
        };
        assert!(absent.is_absence() && !dependency.is_absence());
        let libm = open(Path::new("libm.so.6")).expect("every system has it");
        let text = Sdk::check("libm.so.6", libm).unwrap_err().to_string();
        assert!(text.contains("not librealsense2"), "{text}");
    }
}
