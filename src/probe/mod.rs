//! `realsense-webrtc probe`: WebRTC receivers without a browser that check and measure a running server of the wire
//! contract. Owns the command line of the probe; knows the server by HTTP and WebRTC only, never by its types.

pub mod assemble;
pub mod churn;
pub mod client;
pub mod failure_recovery;
pub mod handle;
pub mod load;
pub mod multi_client;
mod payload;
pub mod process;
pub mod receiver;
pub mod report;
pub mod rtcp;
mod sdp;
mod srtcp;
pub mod steps;
pub mod storms;
pub mod stream_types;
pub mod viewer;
pub mod watch;

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};

use self::{
    churn::{Churn, Leave},
    client::Client,
    load::Load,
    receiver::Options,
    report::Report,
    steps::Check,
};
use crate::{config, error::Result};

/// Check or measure a running server with built-in WebRTC receivers, without a browser.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ProbeArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Address of the server, http:// only. A path in it replaces the prefix /api.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8000", value_name = "URL")]
    url: String,
    /// Serial number of the device [default: the first device].
    #[arg(long, global = true, value_name = "SERIAL")]
    device: Option<String>,
    /// The server's token, if it has one.
    #[arg(long, global = true, env = config::TOKEN, hide_env_values = true)]
    token: Option<String>,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    watch: WatchArgs,
}

const AFTER_HELP: &str = "Examples:
  realsense-webrtc probe --streams color,depth
  REALSENSE_WEBRTC_TOKEN=s3cret realsense-webrtc probe --url http://robot.local:8000
  realsense-webrtc probe load --viewers 10 --secs 20

It ends with 0 if everything was as it should be, else with 1.";

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Watch with one session (the default): first packet, first frame, frame rate, bitrate, loss and gaps of each stream.
    #[command(after_help = "Examples:\n  realsense-webrtc probe watch --streams color,depth\n  \
                            realsense-webrtc probe watch --drop 0.05 --secs 20")]
    Watch(WatchArgs),
    /// Check several sessions at once: all receive, one closes, the others go on, the counts are right, nothing is left.
    #[command(after_help = "Example:\n  realsense-webrtc probe multi-client --clients 4")]
    MultiClient {
        /// Number of sessions, at least 2. They watch colour, depth and both in turn.
        #[arg(long, default_value_t = 3, value_name = "N")]
        clients: usize,
    },
    /// Check every stream type alone and in mixes, and the reference counts after each join and leave.
    #[command(after_help = "Example:\n  realsense-webrtc probe stream-types --streams color,infrared-1")]
    StreamTypes {
        /// Stream types to try, with commas between them [default: those that the device has].
        #[arg(long, value_delimiter = ',', value_name = "TYPES")]
        streams: Vec<String>,
    },
    /// Check that wrong requests are refused and that peers that misbehave do not disturb a healthy viewer.
    #[command(after_help = "Example:\n  realsense-webrtc probe failure-recovery")]
    FailureRecovery,
    /// Check that peers that flood the server with requests, and idle connections, cost little and do not disturb a healthy
    /// viewer. Takes about a minute.
    #[command(after_help = "Example:\n  realsense-webrtc probe storms")]
    Storms {
        /// Process id of the server [default: found by its port, if it runs on this machine].
        #[arg(long)]
        pid: Option<u32>,
    },
    /// Measure many viewers at once: what they receive, and what the server costs.
    #[command(after_help = "Examples:\n  realsense-webrtc probe load --viewers 20 --streams color,depth\n  \
                            realsense-webrtc probe load --viewers 0 --secs 10")]
    Load {
        /// Number of viewers. 0 measures the server without viewers.
        #[arg(long, default_value_t = 10, value_name = "N")]
        viewers: usize,
        /// Seconds to measure, once every viewer has a picture.
        #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
        secs: f64,
        /// Streams of each viewer, with commas between them.
        #[arg(long, value_delimiter = ',', default_value = "color", value_name = "TYPES")]
        streams: Vec<String>,
        /// Milliseconds between two joins. 0: all at once.
        #[arg(long, default_value_t = 50, value_name = "MS")]
        join_interval_ms: u64,
        /// Process id of the server [default: found by its port, if it runs on this machine].
        #[arg(long)]
        pid: Option<u32>,
        /// Print every viewer, too, not only the sums.
        #[arg(long)]
        per_viewer: bool,
    },
    /// Let sessions join and leave while one viewer watches, then compare the server's threads, open files and memory.
    #[command(after_help = "Example:\n  realsense-webrtc probe churn --joins 100 --leave mixed")]
    Churn {
        /// Number of sessions that join and leave.
        #[arg(long, default_value_t = 200, value_name = "N")]
        joins: usize,
        /// Number of them at a time.
        #[arg(long, default_value_t = 4, value_name = "N")]
        concurrency: usize,
        /// Number of sessions before the measurement, so that pools and caches are full.
        #[arg(long, default_value_t = 50, value_name = "N")]
        warm_up: usize,
        /// Streams of each session, with commas between them.
        #[arg(long, value_delimiter = ',', default_value = "color", value_name = "TYPES")]
        streams: Vec<String>,
        /// How the sessions leave: delete (a DELETE request), goodbye (DTLS, as when a page is closed), or mixed (in turn).
        #[arg(long, value_name = "HOW", value_enum, default_value_t = Leave::Delete, hide_possible_values = true)]
        leave: Leave,
        /// Process id of the server [default: found by its port, if it runs on this machine].
        #[arg(long)]
        pid: Option<u32>,
    },
}

#[derive(Debug, Clone, Args)]
struct WatchArgs {
    /// Streams to watch, with commas between them: color, depth, infrared-1, infrared-2.
    #[arg(long, value_delimiter = ',', default_value = "color", value_name = "TYPES")]
    streams: Vec<String>,
    /// Seconds to watch, once there is a picture.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    secs: f64,
    /// Share of packets to drop on purpose, 0 to 1, which tests retransmission.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = parse_share)]
    drop: f64,
}

fn parse_share(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("it is a share of all packets, from 0 to 1, for example 0.05".into()),
    }
}

/// The token by the name that it had before it was the same as the server's.
fn token_of_old() -> Option<String> {
    let token = std::env::var(config::OLD_PROBE_TOKEN).ok()?;
    let (old, new) = (config::OLD_PROBE_TOKEN, config::TOKEN);
    // Nothing is to be done where nobody reads it.
    let _ = writeln!(std::io::stderr(), "warning: {old} is an old name; call it {new}, as for the server.");
    Some(token)
}

/// Runs the probe; true when everything it checked was right.
///
/// # Errors
/// What kept it from checking at all: a bad address, no server, no device, a refused session.
pub async fn run(args: ProbeArgs) -> Result<bool> {
    let ProbeArgs { command, url, device, token, json, watch } = args;
    let client = Client::new(&url, token.or_else(token_of_old))?;
    let device = device.as_deref();
    let report = |title: &str| Report::new(format!("{title} of {url}"), json);
    match command.unwrap_or(Command::Watch(watch)) {
        Command::Watch(watch) => {
            let device = client.pick_device(device).await?;
            let options = Options { drop_share: watch.drop, ..Options::default() };
            watch::run(&client, &device, &watch.streams, seconds(watch.secs), options, report("watch")).await
        }
        Command::MultiClient { clients } => {
            let check = Check::start(client, device, report("multi-client")).await?;
            Ok(multi_client::run(check, clients.max(2)).await)
        }
        Command::StreamTypes { streams } => {
            let check = Check::start(client, device, report("stream-types")).await?;
            Ok(stream_types::run(check, &streams).await)
        }
        Command::FailureRecovery => {
            let check = Check::start(client, device, report("failure-recovery")).await?;
            Ok(failure_recovery::run(check).await)
        }
        Command::Storms { pid } => {
            let pid = pid.or_else(|| local_server(&client));
            let check = Check::start(client, device, report("storms")).await?;
            Ok(storms::run(check, pid).await)
        }
        Command::Load { viewers, secs, streams, join_interval_ms, pid, per_viewer } => {
            let device = client.pick_device(device).await?;
            let load = Load {
                viewers,
                measure_for: seconds(secs),
                streams,
                join_interval: Duration::from_millis(join_interval_ms),
                pid: pid.or_else(|| local_server(&client)),
                per_viewer,
            };
            load::run(&client, &device, &load, report("load")).await
        }
        Command::Churn { joins, concurrency, warm_up, streams, leave, pid } => {
            let device = client.pick_device(device).await?;
            let pid = pid.or_else(|| local_server(&client));
            let churn = Churn { joins, concurrency, warm_up, streams, leave, pid };
            churn::run(&client, &device, &churn, report("churn")).await
        }
    }
}

fn seconds(secs: f64) -> Duration {
    /// A day: long enough for a soak test.
    const LIMIT_S: f64 = 86_400.0;
    Duration::from_secs_f64(if secs.is_finite() { secs.clamp(0.0, LIMIT_S) } else { 0.0 })
}

/// The server's process, where it runs on this machine.
fn local_server(client: &Client) -> Option<u32> {
    let local = matches!(client.host(), "127.0.0.1" | "::1" | "localhost");
    local.then(|| process::listening_on(client.port()))?
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        probe: ProbeArgs,
    }

    fn parse(line: &str) -> ProbeArgs {
        Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}")).probe
    }

    #[test]
    fn the_command_line() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let plain = parse("probe --streams color,depth --secs 2");
        assert!(plain.command.is_none());
        assert_eq!(plain.watch.streams, ["color", "depth"]);
        let load = parse("probe load --viewers 3 --streams depth --url http://[::1]:1 --json");
        assert!(load.json && load.url.ends_with(":1"));
        assert!(matches!(load.command, Some(Command::Load { viewers: 3, .. })));
    }
}
