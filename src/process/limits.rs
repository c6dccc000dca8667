//! What the system lets the process use, and what of it is free: file descriptors, threads. Owns reading `/proc`, the cgroups
//! of versions 1 and 2, and the limits of a user; decides nothing (`core::wishes::machine_room` does).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    core::wishes::machine_room::{Free, Limits},
    sync::{Mutex, lock},
};

/// How long a look at the descriptors and the cgroup counts: listing a thousand descriptors takes half a millisecond, and a
/// session is not made in less than this.
const FRESH: Duration = Duration::from_millis(10);
/// How long a look at all processes of the user counts: it takes milliseconds.
const USER_FRESH: Duration = Duration::from_secs(1);

/// What the process may use.
pub fn limits() -> Limits {
    let cgroup = pids(Path::new("/sys/fs/cgroup"), &own_cgroups()).map(|pids| pids.most);
    Limits { fds: super::soft_limit(libc::RLIMIT_NOFILE), threads: least(cgroup, user_limit()) }
}

/// What is free now, looked at again when the last look is some milliseconds old.
#[derive(Debug, Default)]
pub struct Looker {
    seen: Mutex<Option<(Instant, Free)>>,
    others: Mutex<Option<(Instant, u64)>>,
}

impl Looker {
    /// File descriptors and threads that are free; HTTP connections are left to the caller.
    pub fn free(&self) -> Free {
        let now = Instant::now();
        cached(&self.seen, now, FRESH, || {
            let open = fs::read_dir("/proc/self/fd").map(|list| list.count().saturating_sub(1) as u64);
            let cgroup = pids(Path::new("/sys/fs/cgroup"), &own_cgroups()).map(|pids| pids.free);
            let user = user_limit().map(|limit| {
                // A session starts some in less time than looking at all processes may take.
                let others = cached(&self.others, now, USER_FRESH, || threads_of_others(super::user()));
                limit.saturating_sub(others).saturating_sub(used(own_threads()))
            });
            let fds = super::soft_limit(libc::RLIMIT_NOFILE).map(|limit| limit.saturating_sub(used(open)));
            Free { fds, threads: least(cgroup, user), connections: 0 }
        })
    }
}

/// Looks only when the last look is too old.
fn cached<T: Copy>(seen: &Mutex<Option<(Instant, T)>>, now: Instant, fresh: Duration, look: impl FnOnce() -> T) -> T {
    let recent = |seen: &(Instant, T)| now.saturating_duration_since(seen.0) < fresh;
    let lock = || lock(seen);
    if let Some((_, value)) = lock().filter(recent) {
        return value;
    }
    let value = look();
    *lock() = Some((now, value));
    value
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Most threads of the user, where that limit counts: root is exempt.
fn user_limit() -> Option<u64> {
    if super::user() == 0 { None } else { super::soft_limit(libc::RLIMIT_NPROC) }
}

fn own_cgroups() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// The tightest limit of threads on the way from a cgroup to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pids {
    most: u64,
    free: u64,
}

/// Reads the limits of the groups that `/proc/self/cgroup` names. In a container its own group may be the root, whatever the
/// path says; a level that is not there is passed over.
fn pids(root: &Path, cgroups: &str) -> Option<Pids> {
    let groups = cgroups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => Some((root.to_owned(), path)),
            _ if controllers.split(',').any(|one| one == "pids") => Some((root.join("pids"), path)),
            _ => None,
        }
    });
    let mut found: Option<Pids> = None;
    for (mount, path) in groups {
        let path = PathBuf::from(path.trim_start_matches('/'));
        for level in path.ancestors().chain(path.as_os_str().is_empty().then_some(Path::new(""))) {
            let read = |name: &str| fs::read_to_string(mount.join(level).join(name)).ok();
            // "max" is no number and no limit.
            let Some(most) = read("pids.max").and_then(|text| text.trim().parse::<u64>().ok()) else { continue };
            let current = read("pids.current").and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
            let here = Pids { most, free: most.saturating_sub(current) };
            found =
                Some(found.map_or(here, |other| Pids { most: other.most.min(most), free: other.free.min(here.free) }));
        }
    }
    found
}

/// Threads of all other processes of a user, as far as they can be seen.
fn threads_of_others(user: u32) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_another = |name: &str| name.parse::<u32>().is_ok_and(|pid| pid != std::process::id());
    let processes = processes.filter(|entry| entry.file_name().to_str().is_some_and(is_another));
    processes.filter_map(|entry| threads_if_of(user, &fs::read_to_string(entry.path().join("status")).ok()?)).sum()
}

/// Threads of this process; 0 where the system does not tell.
fn own_threads() -> std::io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(field(&status, "Threads:").and_then(|threads| threads.parse().ok()).unwrap_or(0))
}

/// How much is used: all of it, where looking fails because no descriptor is left; nothing, where the system does not tell.
fn used(looked: std::io::Result<u64>) -> u64 {
    let is_out = |error: &std::io::Error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    looked.unwrap_or_else(|error| if is_out(&error) { u64::MAX } else { 0 })
}

/// The threads in a `/proc/PID/status`, if the process is this user's.
fn threads_if_of(user: u32, status: &str) -> Option<u64> {
    let real = field(status, "Uid:")?.parse::<u32>().ok()?;
    (real == user).then(|| field(status, "Threads:")?.parse().ok()).flatten()
}

/// The first value of a field of a `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, max: &str, current: &str) {
        let folder = root.join(path);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("pids.max"), max).expect("written");
        fs::write(folder.join("pids.current"), current).expect("written");
    }

    #[test]
    fn the_tightest_group_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        group(root, "system.slice/server.service", "4915\n", "40\n");
        group(root, "system.slice", "500\n", "480\n");
        let of = |text: &str| pids(root, text);
        assert_eq!(of("0::/system.slice/server.service\n"), Some(Pids { most: 500, free: 20 }));
        group(root, "system.slice", "max\n", "480\n");
        assert_eq!(of("0::/system.slice/server.service\n"), Some(Pids { most: 4915, free: 4875 }));
        assert_eq!(of("0::/elsewhere\n"), None, "nothing is limited");
        assert_eq!(of(""), None);
        // A container: its own group is the root.
        group(root, "", "300", "10");
        assert_eq!(of("0::/\n"), Some(Pids { most: 300, free: 290 }));
        assert_eq!(of("0::/docker/0123\n"), Some(Pids { most: 300, free: 290 }));
        // Version 1, beside an empty version 2.
        group(root, "pids/docker/1", "100", "99");
        let hybrid = "9:cpu,cpuacct:/docker/1\n4:pids:/docker/1\n0::/docker/1\n";
        assert_eq!(of(hybrid), Some(Pids { most: 100, free: 1 }));
    }

    #[test]
    fn a_users_threads_are_those_of_all_its_processes() {
        let status = "Name:\tx y\nUid:\t1000\t0\t0\t0\nThreads:\t7\n";
        assert_eq!((threads_if_of(1000, status), threads_if_of(0, status)), (Some(7), None));
        let own = own_threads().expect("the system tells");
        let refused = |code| used(Err(std::io::Error::from_raw_os_error(code)));
        assert_eq!((refused(libc::EMFILE), refused(libc::ENOENT), used(Ok(7))), (u64::MAX, 0, 7));
        assert!((1..10_000).contains(&own), "{own}");
        assert!(threads_of_others(super::super::user()) >= 1, "the user who runs the test");
    }

    #[test]
    fn what_is_free_is_less_than_what_there_may_be() {
        let (limits, free) = (limits(), Looker::default().free());
        let (limit, left) = (limits.fds.expect("a limit"), free.fds.expect("a limit"));
        assert!(left + 3 <= limit, "{left} of {limit}");
        let held: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").expect("opens")).collect();
        let after = Looker::default().free().fds.expect("a limit");
        drop(held);
        // Other tests open and close files meanwhile.
        assert!(after + 20 < left, "{after} {left}");
    }

    #[test]
    fn a_look_counts_for_a_moment() {
        let (seen, now) = (Mutex::new(None), Instant::now());
        assert_eq!(cached(&seen, now, FRESH, || 1), 1);
        assert_eq!(cached(&seen, now + FRESH / 2, FRESH, || 2), 1);
        assert_eq!(cached(&seen, now + FRESH, FRESH, || 3), 3);
    }
}
