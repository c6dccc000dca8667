//! What a local server process costs, from `/proc`. Reads only; on other systems there is simply nothing to tell.

use std::{fs, time::Instant};

use serde::Serialize;

/// Clock ticks per second in `/proc/PID/stat`. `USER_HZ` is 100 on every Linux ABI that has a desktop browser.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    at: Instant,
    cpu_s: f64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub fds: u64,
    /// Resident memory in MiB.
    pub rss_mib: f64,
}

/// What a process cost between two samples.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Share of one core in percent.
    pub cpu_percent: f64,
    /// Threads at the end.
    pub threads: u64,
    /// File descriptors at the end.
    pub fds: u64,
    /// Resident memory at the end, MiB.
    pub rss_mib: f64,
}

/// Samples a process; `None` when it is gone or belongs to someone else.
pub fn sample(pid: u32) -> Option<Sample> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Sample {
        at: Instant::now(),
        cpu_s: cpu_seconds(&stat)?,
        threads: field(&status, "Threads:")?,
        rss_mib: field(&status, "VmRSS:")? as f64 / 1024.0,
        fds,
    })
}

impl Sample {
    /// The cost from this sample to a later one.
    pub fn until(&self, later: &Sample) -> Cost {
        let wall = later.at.saturating_duration_since(self.at).as_secs_f64();
        Cost {
            cpu_percent: if wall > 0.0 { (later.cpu_s - self.cpu_s) / wall * 100.0 } else { 0.0 },
            threads: later.threads,
            fds: later.fds,
            rss_mib: later.rss_mib,
        }
    }
}

/// The process of this machine that listens on a TCP port, if we may look at it.
pub fn listening_on(port: u16) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.to_str() == Some(wanted.as_str())))
    })
}

/// User plus system time. The name in parentheses may hold spaces, so fields count from its end.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        (local == port && *fields.get(3)? == LISTEN).then(|| fields.get(9)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_and_parentheses() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
    }

    #[test]
    fn finds_the_listener_of_a_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(listening_on(port), None);
    }

    #[test]
    fn samples_this_process() {
        let before = sample(std::process::id()).unwrap();
        assert!(before.threads >= 1 && before.fds >= 3 && before.rss_mib > 1.0);
        let cost = before.until(&sample(std::process::id()).unwrap());
        assert!(cost.cpu_percent >= 0.0);
    }
}
