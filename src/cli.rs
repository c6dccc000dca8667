//! The command line: what can be said, and how it becomes a configuration. Owns no behaviour beyond that.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use toml::Value;

use crate::{
    config::{Asked, Config, Loaded, SimCameras},
    pipeline_cli::PipelineArgs,
    probe::ProbeArgs,
};

/// Shows the streams of Intel RealSense depth cameras in many web browsers at once, over WebRTC. Without a subcommand it
/// runs the server. Open the address that it prints in a browser.
#[derive(Debug, Parser)]
#[command(name = "realsense-webrtc", disable_version_flag = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do instead of running the server.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file [default: no file is read]. realsense-webrtc.toml in the repository describes every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8000]. Use 0.0.0.0:8000 to let others on the network in. Port 0
    /// takes a free port.
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Number of simulated D435I cameras, 0 to 16, or auto: one if no camera is found [default: 0].
    #[arg(long, value_name = "N", overrides_with = "sim_cameras")]
    sim_cameras: Option<SimCameras>,
    /// Play a recording (.bag, .db3) as a camera. Repeat the flag to play several.
    #[arg(long, value_name = "FILE", value_parser = parse_file)]
    recording: Vec<PathBuf>,
    /// Add librealsense's software device, fed by the simulator, to test with the library and without a camera.
    #[arg(long)]
    software_device: bool,
    /// Folder with the pipeline files [default: pipelines].
    #[arg(long, value_name = "DIR", value_parser = parse_folder)]
    pipelines: Option<PathBuf>,
    /// Folder with pages of your own, served in place of the built-in ones [default: the built-in pages].
    #[arg(long, value_name = "DIR", value_parser = parse_folder)]
    www: Option<PathBuf>,
    /// What to log: info, debug, warn, or a filter such as info,realsense_webrtc::media=debug [default: info].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Print the versions of this program and of GStreamer.
    #[arg(short = 'V', long)]
    pub version: bool,
    /// What other servers call `--listen`.
    #[arg(long, short, hide = true, value_name = "PORT", value_parser = no_port)]
    port: Option<String>,
    /// What other programs call `--log debug`.
    #[arg(long, short, hide = true, num_args = 0, default_missing_value = "", value_parser = no_verbose)]
    verbose: Option<String>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check or measure a running server with built-in WebRTC receivers, without a browser.
    Probe(ProbeArgs),
    /// List, check, run and measure pipeline files, without a server or a browser.
    Pipeline(PipelineArgs),
    /// Check that the server of this configuration answers and is healthy. It exits with 0 if so, for a container's health
    /// check.
    #[command(after_help = "Examples:\n  realsense-webrtc healthcheck --listen 127.0.0.1:8000\n  \
                            realsense-webrtc healthcheck --config my.toml")]
    Healthcheck(HealthcheckArgs),
    /// Check a configuration without starting a server, or show every value in force and where it comes from.
    #[command(after_help = "Examples:\n  realsense-webrtc config check --config my.toml\n  \
                            REALSENSE_WEBRTC__SESSIONS__LIMIT=20 realsense-webrtc config show")]
    Config(ConfigArgs),
    /// Print the OpenAPI document, which describes the API, without a server.
    #[command(after_help = "Example:\n  realsense-webrtc openapi > api.json")]
    Openapi,
    /// What the program does without a subcommand.
    #[command(hide = true)]
    Serve,
}

/// What `healthcheck` takes.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Configuration file of the server.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port on which the server listens.
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    listen: Option<SocketAddr>,
}

/// What `config` takes.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// check: say whether a server can use it. show: print every value in force, with where it comes from.
    #[arg(value_enum, hide_possible_values = true)]
    pub action: ConfigAction,
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What can be done with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigAction {
    /// Say whether a server can use it.
    Check,
    /// Print every value in force.
    Show,
}

const AFTER_HELP: &str = "Examples:
  realsense-webrtc                                 use the cameras that are plugged in
  realsense-webrtc --sim-cameras 1                 add a simulated camera
  realsense-webrtc --recording walk.bag            play a recording as a camera
  realsense-webrtc --listen 0.0.0.0:8000           let others on the network in
  realsense-webrtc --config my.toml --log debug    use your own configuration, and log more
  realsense-webrtc probe                           watch a stream of a running server and report
  realsense-webrtc probe load --viewers 10 --secs 20
  realsense-webrtc pipeline list                   list the pipeline files and what uses them

The environment can set every key of the configuration, too: REALSENSE_WEBRTC__SESSIONS__LIMIT=20.";

impl Cli {
    /// [`Self::take_over`] for `healthcheck`.
    pub fn for_healthcheck(&mut self, args: HealthcheckArgs) {
        self.take_over(args.config, None);
        self.listen = args.listen.or(self.listen);
    }

    /// [`Self::take_over`] for `config`.
    pub fn for_config(&mut self, args: ConfigArgs) {
        self.take_over(args.config, None);
    }

    /// Takes over what a subcommand says about the configuration; said there, it goes before what is said in front of it.
    pub fn take_over(&mut self, config: Option<PathBuf>, pipelines: Option<PathBuf>) {
        self.config = config.or(self.config.take());
        self.pipelines = pipelines.or(self.pipelines.take());
    }

    /// The configuration: file, environment, then the flags.
    ///
    /// # Errors
    /// A message for a person.
    pub fn configuration(self, environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, String> {
        Ok(self.loaded(environment)?.config)
    }

    /// The same with where each value came from.
    ///
    /// # Errors
    /// A message for a person.
    pub fn loaded(self, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, String> {
        let text = |path: PathBuf| Value::String(path.to_string_lossy().into_owned());
        let asked = Asked { recordings: !self.recording.is_empty(), software_device: self.software_device };
        let simulated = |cameras| match cameras {
            SimCameras::Auto => Value::String("auto".into()),
            SimCameras::Count(count) => Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
        };
        let recordings = self.recording.into_iter().map(text).collect::<Vec<_>>();
        let recordings = (!recordings.is_empty()).then_some(Value::Array(recordings));
        let flags = [
            ("server.listen", self.listen.map(|address| Value::String(address.to_string()))),
            ("camera.sim_cameras", self.sim_cameras.map(simulated)),
            ("realsense.recordings", recordings),
            ("realsense.software_device", self.software_device.then_some(Value::Boolean(true))),
            ("pipelines.dir", self.pipelines.map(text)),
            ("server.www_dir", self.www.map(text)),
            ("log.filter", self.log.map(Value::String)),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let mut loaded = Loaded::load(self.config.as_deref(), environment, flags)?;
        loaded.config.asked = asked;
        Ok(loaded)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| {
        format!("'{text}' is no address: write ADDRESS:PORT, for example 127.0.0.1:8000 or 0.0.0.0:8000")
    })
}

fn no_port(port: &str) -> Result<String, String> {
    Err(format!(
        "the port goes with the address: --listen 127.0.0.1:{port}, or --listen 0.0.0.0:{port} for the network"
    ))
}

fn no_verbose(_: &str) -> Result<String, String> {
    Err("more of the log is written with --log debug; --version tells the version".into())
}

fn parse_folder(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_dir() { Ok(text.into()) } else { Err(format!("there is no folder '{text}'")) }
}

fn parse_file(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_file() { Ok(text.into()) } else { Err(format!("there is no file '{text}'")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_configuration() {
        let cli = Cli::try_parse_from(["x", "--listen", "localhost:9", "--sim-cameras", "2", "--www", "/"]).unwrap();
        let config = cli.configuration(Vec::new()).unwrap();
        assert_eq!((config.server.listen.port(), config.camera.sim_cameras), (9, SimCameras::Count(2)));
        assert_eq!(config.server.www_dir, "/");
        // A script gives a default in front of what a person says.
        let cli = Cli::try_parse_from(["x", "--sim-cameras", "auto", "--sim-cameras", "3"]).unwrap();
        let config = cli.configuration(Vec::new()).unwrap();
        assert_eq!((config.camera.sim_cameras, config.asked), (SimCameras::Count(3), Asked::default()));
        let cli = Cli::try_parse_from(["x", "--software-device", "--recording", "Cargo.toml"]).unwrap();
        let asked = cli.configuration(Vec::new()).unwrap().asked;
        assert!(asked.software_device && asked.recordings);
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        for (flags, words) in [
            (["x", "--listen", "8000"], "ADDRESS:PORT"),
            (["x", "--listen", ":8000"], "ADDRESS:PORT"),
            (["x", "--www", "/nonexistent"], "there is no folder"),
            (["x", "--pipelines", "/nonexistent"], "there is no folder"),
            (["x", "--recording", "/nonexistent.bag"], "there is no file"),
            (["x", "--sim-cameras", "two"], "0 to 16, or auto"),
            (["x", "--port", "8001"], "--listen 127.0.0.1:8001"),
            (["x", "-v", "probe"], "--log debug"),
            (["x", "--sim-cameras", "17"], "0 to 16, or auto"),
        ] {
            let error = Cli::try_parse_from(flags).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
