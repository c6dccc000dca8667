//! Arguments, logging, signals, dispatch. Everything else is in the library.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use realsense_webrtc::{app, config::Config, media, probe, process};
use tokio::signal::unix::{SignalKind, signal};
use toml::Value;
use tracing_subscriber::EnvFilter;

/// Gets an Intel RealSense depth camera into many browsers at once: every stream is encoded once and fanned out over
/// WebRTC. Without a subcommand it serves; open the printed address in a browser.
#[derive(Parser)]
#[command(name = "realsense-webrtc", disable_version_flag = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file; realsense-webrtc.toml in the repository documents every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8000]. 0.0.0.0:8000 opens it to the network; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Number of simulated D435I cameras [default: 1].
    #[arg(long, value_name = "N")]
    sim_cameras: Option<u32>,
    /// Folder with the pipeline files [default: pipelines].
    #[arg(long, value_name = "DIR")]
    pipelines: Option<PathBuf>,
    /// Serve the pages from this folder instead of those built in.
    #[arg(long, value_name = "DIR")]
    www: Option<PathBuf>,
    /// What to log: info, debug, warn, or a filter such as info,realsense_webrtc::media=debug.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Print the versions of this program and of GStreamer.
    #[arg(short = 'V', long)]
    version: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Check or measure a running server with WebRTC receivers of its own, without a browser.
    Probe(probe::ProbeArgs),
}

const AFTER_HELP: &str = "Examples:
  realsense-webrtc                                 serve on http://127.0.0.1:8000 with a simulated camera
  realsense-webrtc --listen 0.0.0.0:8000           let others on the network watch
  realsense-webrtc --config my.toml --log debug    with a configuration of your own
  realsense-webrtc probe                           watch one stream of a running server and report
  realsense-webrtc probe load --viewers 10 --secs 20

Every key of the configuration can also be set by environment: REALSENSE_WEBRTC__SESSIONS__LIMIT=20.";

fn main() -> ExitCode {
    process::set_up();
    let cli = Cli::parse();
    if cli.version {
        say(&format!("realsense-webrtc {}\n{}", env!("CARGO_PKG_VERSION"), media::gst::version()));
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_name("tokio").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("Cannot start the async runtime: {error}.")),
    };
    let code = match cli.command {
        Some(Command::Probe(args)) => match runtime.block_on(probe::run(args)) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => fail(error.for_log()),
        },
        None => runtime.block_on(serve(cli)),
    };
    // Requests to a hanging SDK may still sit on blocking threads; the process does not wait for them.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

async fn serve(cli: Cli) -> ExitCode {
    let text = |path: PathBuf| Value::String(path.to_string_lossy().into_owned());
    let overrides = [
        ("server.listen", cli.listen.map(|address| Value::String(address.to_string()))),
        ("camera.sim_cameras", cli.sim_cameras.map(|count| Value::Integer(count.into()))),
        ("pipelines.dir", cli.pipelines.map(text)),
        ("server.www_dir", cli.www.map(text)),
        ("log.filter", cli.log.map(Value::String)),
    ];
    let overrides = overrides.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let config = match Config::load(cli.config.as_deref(), std::env::vars(), overrides) {
        Ok(config) => config,
        Err(message) => return fail(&message),
    };
    if let Err(message) = start_logging(&config.log.filter, &config.log.format) {
        return fail(&message);
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), gstreamer = media::gst::version(), "starting");
    if let Err(problems) = media::gst::check_installation().and_then(|()| media::gst::check_pipelines(&config)) {
        return fail(&problems.join("\n"));
    }
    let token = config.server.token.clone();
    let app = match app::App::start(config).await {
        Ok(app) => app,
        Err(error) => return fail(error.for_log()),
    };
    say(&format!("realsense-webrtc listening on http://{}", app.address()));
    say(&app::describe_reach(app.address(), &token));
    wait_for_signal().await;
    app.shutdown().await;
    ExitCode::SUCCESS
}

async fn wait_for_signal() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            let name = tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
            tracing::info!(signal = name, "shutting down");
        }
        _ => {
            tracing::error!("cannot listen for signals; the server runs until it is killed");
            std::future::pending().await
        }
    }
}

fn start_logging(filter: &str, format: &str) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("log.filter '{filter}' is not a filter: {error}."))?;
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if format == "json" {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
    Ok(())
}

/// Prints a line; a closed standard output is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn fail(message: &str) -> ExitCode {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
