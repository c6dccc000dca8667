//! What the process asks of the operating system: allocator settings, file descriptor limit. The only place for libc.

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

/// Gives freed memory back to the system.
pub fn trim_memory() {
    // SAFETY: malloc_trim takes the allocator's own locks and touches only free memory.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}
