//! What is in a bundle. Owns no data: every part asks who has it.

use std::{collections::BTreeSet, future::Future, time::Duration};

use serde::Serialize;

use super::{
    super::{
        super::types::{StreamReferences, WebRtcStatus},
        system,
    },
    File, Made, Part, machine,
};
use crate::{
    config::Config,
    logging::ring::Query,
    media::{diagnostics::GraphRequest, gst::pipeline_text},
    metrics::Format,
    model::{DeviceId, SessionId},
    session::Handle,
    work,
};

/// Lines of each log.
const LINES: usize = 10_000;
/// Sessions whose pipelines are drawn; they all look alike.
const SESSION_GRAPHS: usize = 10;

const README: &str = "\
What realsense-webrtc says about itself, for a bug report. Tokens, and the TURN servers' passwords, are taken out.
Addresses and browsers of viewers, ids of sessions, serial numbers of cameras and what the log says are in it: look through
it before you publish it. A part that could not be made is a file NAME.missing.txt that says why.

versions.json           this program, GStreamer and its plugins in use, the camera SDK, the machine
config.toml             the configuration in effect
health.json             as GET /api/health
devices.json            as GET /api/devices
sessions.json           as GET /api/webrtc/sessions, with what was sent and what the browsers report
stream-references.json  who watches what, and what runs
pipelines.json          the pipeline files, their faults, and which streams use them
metrics.txt             as GET /metrics
pipelines/              the text of those in use
graph/DEVICE.*          the pipelines as they run: elements, states, caps, links; .svg opens in any browser
graph/session-ID.*      the same with the inside of a session's pipeline
logs/server.txt         the log's last lines
logs/gstreamer.txt      GStreamer's among them
logs/session-ID.txt     those of a session, also of one that ended not long ago
logs/stream-*.txt       those of a stream
log-levels.json         what was logged
process.txt             threads, file descriptors, memory, time since the start

In a report, say as well what you did, what you saw, and what you expected to see.
";

/// Every part.
pub(super) fn parts(handle: &Handle) -> Vec<Part> {
    let mut parts = vec![
        part("README.txt", async { Ok(vec![File::new("README.txt", README)]) }),
        versions(handle),
        config(handle),
        json("health.json", {
            let health = system::describe_health(handle.health());
            async move { Ok(health) }
        }),
        json("devices.json", with(handle, |handle| async move { handle.devices(false).await })),
        json(
            "sessions.json",
            with(handle, |handle| async move {
                Ok(handle.sessions().await?.into_iter().map(WebRtcStatus::from).collect::<Vec<_>>())
            }),
        ),
        json(
            "stream-references.json",
            with(handle, |handle| async move { Ok(StreamReferences::from(handle.references().await?)) }),
        ),
        pipelines(handle),
        part("metrics.txt", {
            let handle = handle.clone();
            async move {
                let text = handle.scrape(Format::Prometheus).await.map_err(|error| error.for_log().to_owned())?;
                Ok(vec![File::new("metrics.txt", text)])
            }
        }),
        logs(handle),
        json("log-levels.json", {
            let levels = handle.logs().levels();
            async move { Ok(levels) }
        }),
        process(handle),
    ];
    parts.extend(graphs(handle));
    parts
}

fn part(name: impl Into<String>, made: impl Future<Output = Made> + Send + 'static) -> Part {
    Part { name: name.into(), made: Box::pin(made) }
}

/// A part that asks the session handle.
fn with<T, F: Future<Output = crate::error::Result<T>>>(handle: &Handle, ask: impl FnOnce(Handle) -> F) -> F {
    ask(handle.clone())
}

/// A part that is one JSON file.
fn json<T: Serialize + Send + 'static>(
    name: &'static str,
    value: impl Future<Output = crate::error::Result<T>> + Send + 'static,
) -> Part {
    part(name, async move {
        let value = value.await.map_err(|error| error.for_log().to_owned())?;
        let file = work::CPU.run(move || json_file(name, &value)).await;
        Ok(vec![file.map_err(|error| error.for_log().to_owned())??])
    })
}

fn json_file(name: impl Into<String>, value: &impl Serialize) -> Result<File, String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(File::new(name, format!("{text}\n")))
}

/// A part that reads files or asks the system.
fn blocking(name: &'static str, make: impl FnOnce() -> Made + Send + 'static) -> Part {
    part(name, async move { work::CPU.run(make).await.map_err(|error| error.for_log().to_owned())? })
}

fn versions(handle: &Handle) -> Part {
    let sdk = handle.health().sdk_version;
    blocking("versions.json", move || Ok(vec![json_file("versions.json", &machine::versions(&sdk))?]))
}

fn process(handle: &Handle) -> Part {
    let logs = handle.logs().clone();
    blocking("process.txt", move || {
        let lost = logs.lost();
        let text = format!(
            "{}log lines dropped: {} on the way to standard error, {} of GStreamer\n",
            machine::describe_process(),
            lost.stderr,
            lost.gstreamer
        );
        Ok(vec![File::new("process.txt", text)])
    })
}

fn config(handle: &Handle) -> Part {
    let config = without_secrets(handle.config().clone());
    part("config.toml", async move {
        let text = toml::to_string_pretty(&config).map_err(|error| error.to_string())?;
        Ok(vec![File::new("config.toml", text)])
    })
}

fn without_secrets(mut config: Config) -> Config {
    let turn = config.webrtc.turn_servers.iter_mut().flat_map(|server| [&mut server.username, &mut server.credential]);
    let tokens = [&mut config.server.token, &mut config.server.admin_token, &mut config.relay.token];
    for secret in tokens.into_iter().chain(turn) {
        if !secret.is_empty() {
            "(set)".clone_into(secret);
        }
    }
    config
}

/// The list of pipelines, and the texts of those that streams use.
fn pipelines(handle: &Handle) -> Part {
    let handle = handle.clone();
    part("pipelines.json", async move {
        let pipelines = handle.pipelines().await.map_err(|error| error.for_log().to_owned())?;
        // The folder may be on a network that does not answer.
        let made = work::FOLDER.run(move || {
            let mut files = vec![json_file("pipelines.json", &pipelines)?];
            let used = pipelines.into_iter().filter(|pipeline| !pipeline.used_by.is_empty());
            let names: BTreeSet<String> = used.map(|pipeline| pipeline.name).collect();
            files.extend(names.iter().map(|name| {
                let text =
                    pipeline_text(handle.config(), name).unwrap_or_else(|| "The file is not there any more.\n".into());
                File::new(format!("pipelines/{name}.gst"), text)
            }));
            Ok(files)
        });
        made.await.map_err(|error| error.for_log().to_owned())?
    })
}

/// The graph of each device, and of some sessions.
fn graphs(handle: &Handle) -> Vec<Part> {
    let snapshot = handle.snapshot().borrow().clone();
    let devices = snapshot.devices.keys().map(|device| graph(handle, format!("graph/{device}"), device.clone(), None));
    let mut parts: Vec<_> = devices.collect();
    let sessions: Vec<_> = snapshot.session_states.iter().map(|(id, _)| id.clone()).take(SESSION_GRAPHS).collect();
    for session in sessions {
        let (handle, name) = (handle.clone(), format!("graph/session-{}", session.short()));
        parts.push(part(name.clone(), async move {
            let status = handle.session(session.clone()).await.map_err(|error| error.for_log().to_owned())?;
            graph(&handle, name, status.device, Some(session)).made.await
        }));
    }
    parts
}

fn graph(handle: &Handle, name: String, device: DeviceId, session: Option<SessionId>) -> Part {
    let handle = handle.clone();
    part(name.clone(), async move {
        // Measuring stays as it is.
        let request = GraphRequest { device, session, measure: Duration::ZERO };
        let graph = handle.graph(request).await.map_err(|error| error.for_log().to_owned())?;
        let drawn = work::CPU.run(move || {
            let drawn = [("svg", crate::core::graph::svg(&graph)), ("dot", crate::core::graph::dot(&graph))];
            let drawn = drawn.map(|(extension, text)| File::new(format!("{name}.{extension}"), text));
            let mut files = vec![json_file(format!("{name}.json"), &graph)?];
            files.extend(drawn);
            Ok(files)
        });
        drawn.await.map_err(|error| error.for_log().to_owned())?
    })
}

/// The log as a whole, and by session and stream.
fn logs(handle: &Handle) -> Part {
    let logs = handle.logs().clone();
    blocking("logs", move || {
        let file = |name: String, query: Query| {
            let lines = logs.select(&Query { lines: LINES, ..query });
            let text = lines.iter().fold(String::new(), |mut text, line| {
                line.write(&mut text);
                text
            });
            File::new(name, text)
        };
        let gstreamer = Query { source: Some(crate::logging::ring::Source::GStreamer), ..Query::default() };
        let mut files =
            vec![file("logs/server.txt".into(), Query::default()), file("logs/gstreamer.txt".into(), gstreamer)];
        let (sessions, streams) = logs.kept();
        for session in sessions {
            let name = format!("logs/session-{session}.txt");
            files.push(file(name, Query { session: Some(session), ..Query::default() }));
        }
        for (device, stream) in streams.iter().filter_map(|key| key.split_once('/')) {
            let query = Query { device: Some(device.into()), stream: Some(stream.into()), ..Query::default() };
            files.push(file(format!("logs/stream-{device}-{stream}.txt"), query));
        }
        Ok(files)
    })
}
