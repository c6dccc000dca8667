//! What each thread of this process costs, from `/proc/self/task`. Reads only; elsewhere than on Linux there is nothing.

use std::{collections::BTreeMap, fs, time::Instant};

/// Nanoseconds of a clock tick in `/proc/PID/stat`: USER_HZ is 100 on every Linux ABI in use.
const TICK_NS: u64 = 10_000_000;

/// All threads at one moment.
pub(super) struct Snapshot {
    at: Instant,
    /// Name and nanoseconds on a CPU, by thread id.
    threads: BTreeMap<u32, (String, u64)>,
}

/// Looks at all threads.
pub(super) fn snapshot() -> Snapshot {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let threads = tasks.filter_map(|task| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(task.path().join("comm")).ok()?.trim_end().to_owned();
        // Exact where the kernel keeps it, else in ticks.
        let exact = fs::read_to_string(task.path().join("schedstat")).ok();
        let exact = exact.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
        let spent = exact.or_else(|| ticks(&fs::read_to_string(task.path().join("stat")).ok()?))?;
        Some((id, (name, spent)))
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
    /// Percent of a core by thread name, dearest first, from this moment to a later one. Threads of one name are summed; one
    /// that ended between is not seen.
    pub(super) fn until(&self, later: &Snapshot) -> Vec<(String, f64)> {
        let wall = later.at.saturating_duration_since(self.at).as_nanos().max(1) as f64;
        let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, (name, spent)) in &later.threads {
            let before = self.threads.get(id).map_or(0, |(_, before)| *before);
            *by_name.entry(name).or_default() += spent.saturating_sub(before);
        }
        let mut costs: Vec<_> =
            by_name.into_iter().map(|(name, spent)| (name.to_owned(), spent as f64 / wall * 100.0)).collect();
        costs.sort_by(|(_, a), (_, b)| b.total_cmp(a));
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
        let (_, cost) = costs.iter().find(|(name, _)| name == "busy-one").expect("the thread");
        assert!(*cost > 5.0, "{costs:?}");
        assert_eq!(ticks("7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20"), Some(200 * TICK_NS));
    }
}
