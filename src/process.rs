//! What the process asks of the operating system: allocator settings, file descriptor limit, free disk space, what it uses
//! itself. The only place for libc. What is free of descriptors and threads is in `room`.

#![allow(unsafe_code, reason = "libc calls without a safe wrapper; each states why it is sound")]

pub mod limits;
pub mod unsent;

/// Sets the process up. To be called first in `main`, while there is one thread.
pub fn set_up() {
    // GStreamer allocates and frees buffers from many threads. With glibc's default of 8 arenas per core, freed memory
    // stays in arenas and looks like a leak (docs/decisions.md). GLib before 2.76 adds a slice allocator on top.
    // SAFETY: mallopt only sets a parameter of the allocator; no other thread runs yet.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    // SAFETY: no other thread runs yet, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var("G_SLICE", "always-malloc");
        // librealsense 2.59 collects usage reports and can send them to its vendor. Not from here, unless the owner said so.
        if std::env::var_os("RS2_RUM_CLOUD_ENABLED").is_none() {
            std::env::set_var("RS2_RUM_CLOUD_ENABLED", "0");
        }
    }
    raise_fd_limit();
}

/// Raises the soft limit of open files to the hard one: a session needs about 7 file descriptors, and Debian's soft limit
/// of 1024 would end at 140 sessions.
fn raise_fd_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the call to fill and to read.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// The soft limit of a resource of the process; `None` where there is none.
fn soft_limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the call to fill.
    let known = unsafe { libc::getrlimit(resource, &raw mut limit) } == 0;
    (known && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// The user that the process runs as.
fn user() -> u32 {
    // SAFETY: only reads a number of the process.
    unsafe { libc::geteuid() }
}

/// Ends the process at once, without the exit handlers of C and C++ libraries: threads that are still in OpenSSL or
/// librealsense would meet what the handlers destroyed (1 of 450 ends crashed in OpenSSL so, 0.1 s after the start).
/// Everything that must end in order has ended before.
pub fn leave(code: u8) -> ! {
    // What was printed is flushed by its printer; nothing else is buffered.
    // SAFETY: ends the process; no memory is touched.
    unsafe { libc::_exit(code.into()) }
}

/// Gives freed memory back to the system.
pub fn trim_memory() {
    // SAFETY: malloc_trim takes the allocator's own locks and touches only free memory.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that an unprivileged process may still write to the disk that holds `path`, which must exist.
///
/// # Errors
/// What the system says about the path.
pub fn free_bytes(path: &std::path::Path) -> std::io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;

    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a NUL and `stat` is a place for the call to fill; both outlive it.
    let result = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if result != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled `stat`.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Takes disk space for a part of a file without changing its size, so that writing there cannot fail for lack of space.
///
/// # Errors
/// `StorageFull` or `QuotaExceeded` when there is not enough; anything else means that the file system cannot do this.
pub fn allocate(file: &std::fs::File, from: u64, bytes: u64) -> std::io::Result<()> {
    use std::{io, os::fd::AsRawFd};

    let part = libc::off_t::try_from(from).and_then(|from| Ok((from, libc::off_t::try_from(bytes)?)));
    let (from, bytes) = part.map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `file` lives, and the call touches no memory of ours.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, from, bytes) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the process uses. Zero stands for what the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub fds: u64,
    /// Most file descriptors that may be open.
    pub max_fds: u64,
    /// Memory in RAM, in bytes.
    pub resident_bytes: u64,
    /// Address space, in bytes.
    pub virtual_bytes: u64,
    /// CPU time used, user and system.
    pub cpu_s: f64,
    /// When the process started, in Unix seconds.
    pub started_unix_s: f64,
}

/// Reads what the process uses, from /proc.
pub fn usage() -> Usage {
    // SAFETY: both only read a constant of the system.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let boot = std::fs::read_to_string("/proc/stat").ok().and_then(|text| boot_unix_s(&text)).unwrap_or(0);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let usage = parse_stat(&stat, boot, u64::try_from(ticks).unwrap_or(100), u64::try_from(page).unwrap_or(4096));
    // Without the descriptor that lists them.
    let fds = std::fs::read_dir("/proc/self/fd").map_or(0, |list| list.count().saturating_sub(1));
    Usage { fds: fds as u64, max_fds: soft_limit(libc::RLIMIT_NOFILE).unwrap_or(0), ..usage.unwrap_or_default() }
}

fn boot_unix_s(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Reads `/proc/self/stat` (proc_pid_stat(5)).
#[expect(clippy::cast_precision_loss, reason = "times and counts far below 2^53")]
fn parse_stat(stat: &str, boot_unix_s: u64, ticks_per_s: u64, page_bytes: u64) -> Option<Usage> {
    // The name in parentheses may hold anything, so the fields are counted from behind it: the first there is the third.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = ticks_per_s.max(1) as f64;
    Some(Usage {
        threads: field(20)?,
        resident_bytes: field(24)? * page_bytes,
        virtual_bytes: field(23)?,
        cpu_s: (field(14)? + field(15)?) as f64 / ticks,
        started_unix_s: boot_unix_s as f64 + field(22)? as f64 / ticks,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_the_process_uses_is_told() {
        let thread = std::thread::spawn(std::thread::park);
        let usage = super::usage();
        thread.thread().unpark();
        thread.join().expect("it ends");
        assert!(usage.threads >= 2, "{usage:?}");
        assert!(usage.fds >= 3 && usage.max_fds >= usage.fds, "{usage:?}");
        assert!(usage.virtual_bytes > usage.resident_bytes && usage.resident_bytes > 1 << 20, "{usage:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!(usage.started_unix_s <= now + 2.0 && usage.started_unix_s > now - 86_400.0, "{usage:?} {now}");
    }

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 42 18 600 4096000 25 rest";
        let usage = super::parse_stat(stat, 1000, 100, 4096).expect("it parses");
        assert_eq!((usage.threads, usage.resident_bytes, usage.virtual_bytes), (42, 25 * 4096, 4_096_000));
        assert!((usage.cpu_s - 3.0).abs() < 1e-9 && (usage.started_unix_s - 1006.0).abs() < 1e-9, "{usage:?}");
        assert_eq!(super::parse_stat("", 0, 100, 4096), None);
        assert_eq!(super::boot_unix_s("cpu 1\nbtime 1700000000\nx 1"), Some(1_700_000_000));
    }

    #[test]
    fn free_space_is_that_of_the_path() {
        let free = super::free_bytes(Path::new("/")).expect("the root is mounted");
        assert!(free < 1 << 60, "{free}");
        assert_eq!(super::free_bytes(Path::new("/proc")).expect("procfs is mounted"), 0);
        assert!(super::free_bytes(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn space_is_taken_without_changing_the_size() {
        use std::os::unix::fs::MetadataExt;
        let mut file = tempfile::tempfile().expect("a temporary file");
        std::io::Write::write_all(&mut file, b"x").expect("a byte");
        // A file system that cannot do it says so.
        if super::allocate(&file, 1, 1 << 20).is_ok() {
            let metadata = file.metadata().expect("its metadata");
            assert_eq!(metadata.len(), 1);
            assert!(metadata.blocks() * 512 >= 1 << 20, "{}", metadata.blocks());
        }
        assert!(super::allocate(&file, u64::MAX, 1).is_err());
    }
}
