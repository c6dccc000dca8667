//! Time stamps as people and file names have them. UTC only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::core::calendar::civil;

/// Whole seconds of the calendar, as date and time of day with what stands between their parts. Before 1970 reads as 1970.
fn stamp(since: Duration, date: &str, time: &str) -> String {
    let (days, of_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{date}{month:02}{date}{day:02}T{hour:02}{time}{minute:02}{time}{second:02}")
}

fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// `2026-11-22T20:17:44.123456Z`, as in a log line.
pub fn rfc3339(at: SystemTime) -> String {
    let since = since_1970(at);
    format!("{}.{:06}Z", stamp(since, "-", ":"), since.subsec_micros())
}

/// `20261122T201744Z`, as in a file name.
pub fn compact(at: SystemTime) -> String {
    format!("{}Z", stamp(since_1970(at), "", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(compact(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        let at = UNIX_EPOCH + Duration::new(1_795_378_664, 123_456_789);
        assert_eq!(rfc3339(at), "2026-11-22T20:17:44.123456Z");
    }
}
