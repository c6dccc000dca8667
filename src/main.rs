//! Starts what the command line asks for: logging, the server until a signal, the probe, or work on pipeline files.

use std::{io::Write, pin::pin, process::ExitCode, time::Duration};

use clap::Parser;
use realsense_webrtc::{
    app,
    cli::{Cli, Command, ConfigAction},
    healthcheck, http, logging, media, pipeline_cli, probe, process, session,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a start goes on after a signal, so that what it began ends in order. Only an SDK that hangs takes longer.
const FINISH_START: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    process::set_up();
    let mut cli = Cli::parse();
    if cli.version {
        say(&format!("realsense-webrtc {}\n{}", env!("CARGO_PKG_VERSION"), media::gst::version()));
        return ExitCode::SUCCESS;
    }
    // A flood of blocking work must not take the threads that sessions need.
    let blocking = usize::try_from(process::limits::limits().blocking_threads()).unwrap_or(1);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.thread_name("tokio").max_blocking_threads(blocking).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("Cannot start the async runtime: {error}.")),
    };
    let code = match cli.command.take() {
        Some(Command::Probe(args)) => match runtime.block_on(probe::run(args)) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => fail(error.for_log()),
        },
        Some(Command::Pipeline(args)) => {
            runtime.block_on(work_on_pipelines(cli, args)).unwrap_or_else(|message| fail(&message))
        }
        Some(Command::Healthcheck(args)) => {
            cli.for_healthcheck(args);
            runtime.block_on(check_health(cli)).unwrap_or_else(|message| fail(&message))
        }
        Some(Command::Config(args)) => {
            let action = args.action;
            cli.for_config(args);
            work_on_config(cli, action).unwrap_or_else(|message| fail(&message))
        }
        Some(Command::Openapi) => print_description(),
        None | Some(Command::Serve) => runtime.block_on(serve(cli)).unwrap_or_else(|message| fail(&message)),
    };
    // Requests to a hanging SDK may still sit on blocking threads; the process does not wait for them.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // Everything that must end in order has ended. What is left are threads of libraries, such as one that still makes a
    // certificate for the first session, and those must not meet what their library's exit handlers have taken down.
    process::leave(u8::from(code != ExitCode::SUCCESS))
}

fn print_description() -> ExitCode {
    match http::openapi().to_pretty_json() {
        Ok(document) => {
            say(&document);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format!("The description cannot be written as JSON: {error}.")),
    }
}

fn work_on_config(cli: Cli, action: ConfigAction) -> Result<ExitCode, String> {
    let loaded = cli.loaded(std::env::vars())?;
    if action == ConfigAction::Show {
        say(loaded.show().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    app::check(&loaded.config).map_err(|error| error.for_log().to_owned())?;
    media::gst::check_pipelines(&loaded.config).map_err(|problems| problems.join("\n"))?;
    say("The configuration can be used. `realsense-webrtc config show` prints what is in force.");
    Ok(ExitCode::SUCCESS)
}

async fn check_health(cli: Cli) -> Result<ExitCode, String> {
    let config = cli.configuration(std::env::vars())?;
    let answer = healthcheck::run(&config).await.map_err(|error| error.for_log().to_owned())?;
    say(&answer);
    Ok(ExitCode::SUCCESS)
}

async fn work_on_pipelines(mut cli: Cli, args: pipeline_cli::PipelineArgs) -> Result<ExitCode, String> {
    cli.take_over(args.config.clone(), args.pipelines.clone());
    let config = cli.configuration(std::env::vars())?;
    let usual = config.log.filter == realsense_webrtc::config::Log::default().filter;
    logging::start_plain(if usual { "warn" } else { &config.log.filter })?;
    Ok(if pipeline_cli::run(args, config).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(cli: Cli) -> Result<ExitCode, String> {
    // From the first moment on: the first process of a container is not ended by a signal that it does not listen for.
    let mut signals = Signals::listen();
    let config = cli.configuration(std::env::vars())?;
    let (logs, _writes_the_log_until_the_end) = logging::start(&config)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), gstreamer = media::gst::version(), "starting");
    media::gst::check_installation().map_err(|problems| problems.join("\n"))?;
    media::gst::check_pipelines(&config).map_err(|problems| problems.join("\n"))?;
    let token = config.server.token.clone();
    let mut start = pin!(app::App::start(config, session::Observe { logs, ..session::Observe::default() }));
    let started = tokio::select! {
        started = &mut start => started,
        name = signals.next() => {
            tracing::info!(signal = name, "shutting down as soon as the start is through");
            let Ok(started) = tokio::time::timeout(FINISH_START, start).await else {
                tracing::warn!("the start hangs; leaving it to the end of the process");
                return Ok(ExitCode::SUCCESS);
            };
            started.map_err(|error| error.for_log().to_owned())?.shutdown().await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut app = started.map_err(|error| error.for_log().to_owned())?;
    // In one piece, so that no line of the log comes between.
    let reach = app::describe_reach(app.address(), &token);
    say(&format!("realsense-webrtc listening on http://{}\n{reach}", app.address()));
    let code = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "shutting down");
            ExitCode::SUCCESS
        }
        part = app.failed() => {
            tracing::error!(part, "ended by itself; stopping, so that the server can be started again");
            ExitCode::FAILURE
        }
    };
    app.shutdown().await;
    Ok(code)
}

/// The signals that end the program.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    fn listen() -> Self {
        Self(signal(SignalKind::terminate()).ok().zip(signal(SignalKind::interrupt()).ok()))
    }

    async fn next(&mut self) -> &'static str {
        let Some((terminate, interrupt)) = &mut self.0 else {
            tracing::error!("cannot listen for signals; the server runs until it is killed");
            return std::future::pending().await;
        };
        tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" }
    }
}

/// Prints a line; a closed standard output is no reason to stop serving.
fn say(lines: &str) {
    let _ = std::io::stdout().write_all(format!("{lines}\n").as_bytes());
}

fn fail(message: &str) -> ExitCode {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
