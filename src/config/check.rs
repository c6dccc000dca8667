//! What the types of the configuration cannot say: ranges, formats, and what belongs together.

use std::net::IpAddr;

use super::{Config, MOST_KEPT_LINES, MOST_SIM_CAMERAS, SIM_CAMERAS, SimCameras};
use crate::core::text::log_thresholds::GstThresholds;

/// Longest time that a key may hold, in seconds: a year. Far more than anyone means, and clocks can still add it.
const LONGEST_S: u64 = 31_536_000;
/// Most megabytes that a key may hold.
const MOST_MB: u64 = 1_000_000_000;

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// A rule that begins with its key: "sessions.limit must be from 1 to 10000".
    pub fn validate(&self) -> Result<(), String> {
        let check = |ok: bool, rule: &str| if ok { Ok(()) } else { Err(rule.to_owned()) };
        // What a header can carry: printable ASCII.
        let policy = self.server.content_security_policy.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        check(
            policy,
            "server.content_security_policy must be one line of plain ASCII, like default-src 'self'; frame-ancestors 'self'",
        )?;
        check((1..=10_000).contains(&self.sessions.limit), "sessions.limit must be from 1 to 10000")?;
        for (name, seconds, least) in [
            ("sessions.answer_timeout_s", self.sessions.answer_timeout_s, 1),
            ("sessions.connect_timeout_s", self.sessions.connect_timeout_s, 1),
            ("sessions.idle_timeout_s", self.sessions.idle_timeout_s, 1),
            ("sessions.max_lifetime_s", self.sessions.max_lifetime_s, 0),
            ("camera.start_timeout_s", self.camera.start_timeout_s, 1),
            ("camera.stall_timeout_s", self.camera.stall_timeout_s, 1),
            ("recording.max_seconds", self.recording.max_seconds, 0),
        ] {
            let good = (least..=LONGEST_S).contains(&seconds);
            check(good, &format!("{name} must be from {least} to {LONGEST_S} (a year)"))?;
        }
        check((2..=60).contains(&self.sessions.peer_silence_s), "sessions.peer_silence_s must be from 2 to 60")?;
        let simulated = matches!(self.camera.sim_cameras, SimCameras::Auto | SimCameras::Count(0..=MOST_SIM_CAMERAS));
        check(simulated, SIM_CAMERAS)?;
        check((0.0..=3600.0).contains(&self.camera.linger_s), "camera.linger_s must be from 0 to 3600")?;
        for (name, stream) in
            [("color", &self.streams.color), ("depth", &self.streams.depth), ("infrared", &self.streams.infrared)]
        {
            let size = (1..=4096).contains(&stream.width) && (1..=4096).contains(&stream.height);
            check(size, &format!("streams.{name}: width and height must each be from 1 to 4096"))?;
            check((1..=300).contains(&stream.framerate), &format!("streams.{name}.framerate must be from 1 to 300"))?;
            let bitrate = (50..=100_000).contains(&stream.bitrate_kbps);
            check(bitrate, &format!("streams.{name}.bitrate_kbps must be from 50 to 100000"))?;
        }
        let range = self.depth.min_m >= 0.0 && self.depth.min_m < self.depth.max_m && self.depth.max_m <= 65.535;
        check(range, "depth.min_m and depth.max_m must satisfy 0 <= min_m < max_m <= 65.535")?;
        let map = ["jet", "turbo", "viridis", "gray"].contains(&self.depth.color_map.as_str());
        check(map, "depth.color_map must be jet, turbo, viridis or gray")?;
        let ports =
            (self.webrtc.min_port == 0) == (self.webrtc.max_port == 0) && self.webrtc.min_port <= self.webrtc.max_port;
        check(ports, "webrtc.min_port and webrtc.max_port must both be 0, or min_port <= max_port")?;
        let announced = &self.webrtc.announce_address;
        let announced = announced.is_empty() || announced.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified());
        check(
            announced,
            "webrtc.announce_address must be empty or an IP address that peers can reach, like 192.168.1.10",
        )?;
        check(self.webrtc.gather_timeout_ms <= 10_000, "webrtc.gather_timeout_ms must be from 0 to 10000")?;
        let stun = &self.webrtc.stun_server;
        let stun = stun.is_empty() || stun.strip_prefix("stun:").is_some_and(names_host);
        check(stun, "webrtc.stun_server must be empty or look like stun:HOST:PORT")?;
        for server in &self.webrtc.turn_servers {
            let address = server.url.strip_prefix("turn:").or_else(|| server.url.strip_prefix("turns:"));
            let address = address.map(|address| address.split('?').next().unwrap_or_default());
            check(
                address.is_some_and(names_host),
                "webrtc.turn_servers.url must look like turn:HOST:PORT or turns:HOST:PORT",
            )?;
        }
        self.relay.validate()?;
        self.pipelines.validate()?;
        check(!self.recording.dir.as_os_str().is_empty(), "recording.dir must name a folder")?;
        for (name, mb) in
            [("recording.max_mb", self.recording.max_mb), ("recording.min_free_mb", self.recording.min_free_mb)]
        {
            check(mb <= MOST_MB, &format!("{name} must be from 0 to {MOST_MB} (a petabyte)"))?;
        }
        check(["text", "json"].contains(&self.log.format.as_str()), "log.format must be text or json")?;
        GstThresholds::parse(&self.log.gst).map_err(|words| format!("log.gst: {}", words.trim_end_matches('.')))?;
        let lines = self.log.keep_lines <= MOST_KEPT_LINES;
        check(lines, &format!("log.keep_lines must be from 0 to {MOST_KEPT_LINES}"))
    }
}

/// Whether a STUN or TURN server's address without its scheme is `HOST` or `HOST:PORT`.
fn names_host(address: &str) -> bool {
    let is_ipv6 = |name: &str| name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some();
    let (name, port) = match address.rsplit_once(':') {
        Some((name, port)) if !is_ipv6(address) => (name, Some(port)),
        _ => (address, None),
    };
    let name_fits = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || ":/?@[]".contains(c)),
    };
    name_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}
