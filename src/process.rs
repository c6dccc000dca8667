//! What the process asks of the operating system: allocator settings, file descriptor limit, free disk space. The only place for libc.

#![allow(unsafe_code, reason = "libc calls without a safe wrapper; each states why it is sound")]

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

#[cfg(test)]
mod tests {
    use std::path::Path;

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
