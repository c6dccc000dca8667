//! What each thread of this process costs, from `/proc/self/task`. Reads only; elsewhere than on Linux there is nothing.

use std::{collections::BTreeMap, fs, time::Instant};

use serde::Serialize;

/// Nanoseconds of a clock tick in `/proc/PID/stat`: USER_HZ is 100 on every Linux ABI in use.
const TICK_NS: u64 = 10_000_000;

/// All threads at one moment.
pub(super) struct Snapshot {
    at: Instant,
    threads: BTreeMap<u32, Thread>,
}

struct Thread {
    name: String,
    /// Nanoseconds on a CPU.
    spent: u64,
    /// Nanoseconds ready to run, while others had the CPU; 0 where the kernel does not tell.
    waited: u64,
}

/// What the threads of one name cost between two moments, in percent of the time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cost {
    pub(super) name: String,
    /// On a CPU: 100 is a whole core.
    pub(super) cpu_percent: f64,
    /// Ready, but without a CPU: the machine was busy with something else.
    pub(super) waited_percent: f64,
}

/// Looks at all threads.
pub(super) fn snapshot() -> Snapshot {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let threads = tasks.filter_map(|task| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(task.path().join("comm")).ok()?.trim_end().to_owned();
        // Exact where the kernel keeps it, else in ticks.
        let exact = fs::read_to_string(task.path().join("schedstat")).ok();
        let exact = exact.and_then(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        let in_ticks = || Some((ticks(&fs::read_to_string(task.path().join("stat")).ok()?)?, 0));
        let (spent, waited) = exact.or_else(in_ticks)?;
        Some((id, Thread { name, spent, waited }))
    });
    Snapshot { at: Instant::now(), threads: threads.collect() }
}

fn ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold blanks, so fields count from its end.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * TICK_NS)
}

impl Snapshot {
    /// The cost from this moment to a later one, dearest first. Threads of one name are summed; one that ended between is not
    /// seen.
    pub(super) fn until(&self, later: &Snapshot) -> Vec<Cost> {
        let wall = later.at.saturating_duration_since(self.at).as_nanos().max(1) as f64;
        let mut by_name: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (id, thread) in &later.threads {
            let (spent, waited) = self.threads.get(id).map_or((0, 0), |before| (before.spent, before.waited));
            let sum = by_name.entry(&thread.name).or_default();
            sum.0 += thread.spent.saturating_sub(spent);
            sum.1 += thread.waited.saturating_sub(waited);
        }
        let percent = |ns: u64| ns as f64 / wall * 100.0;
        let cost = |(name, (spent, waited)): (&str, (u64, u64))| Cost {
            name: name.to_owned(),
            cpu_percent: percent(spent),
            waited_percent: percent(waited),
        };
        let mut costs: Vec<_> = by_name.into_iter().map(cost).collect();
        costs.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent));
        costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_seen() {
        let before = snapshot();
        let busy = std::thread::Builder::new().name("busy-one".into()).spawn(|| {
            let until = Instant::now() + std::time::Duration::from_millis(100);
            let mut sum = 0u64;
            while Instant::now() < until {
                sum = sum.wrapping_add(1);
            }
            (snapshot(), sum)
        });
        let (after, _) = busy.expect("a thread").join().expect("it ends");
        let costs = before.until(&after);
        let busy = costs.iter().find(|cost| cost.name == "busy-one").expect("the thread");
        assert!(busy.cpu_percent + busy.waited_percent > 50.0, "{costs:?}");
        assert_eq!(ticks("7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20"), Some(200 * TICK_NS));
    }
}
