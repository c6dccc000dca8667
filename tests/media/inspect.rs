//! Looking inside what runs: graphs, measuring, elements' properties.

use std::{collections::BTreeMap, time::Duration};

use realsense_webrtc::{
    core::graph,
    error::{Error, Kind},
    media::diagnostics::{ElementPath, GraphRequest},
    model::{Codec, ElementInfo, Graph, GraphElement, GraphKind, GraphPipeline, PixelFormat, SessionId, StreamType},
    probe::receiver::Options,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::bench::{Bench, SMALL, SOON, config};

async fn look(bench: &Bench, session: Option<&SessionId>, measure: Duration) -> Result<Graph, Error> {
    let request = GraphRequest { device: bench.device.clone(), session: session.cloned(), measure };
    let (reply, answer) = oneshot::channel();
    bench.media.diagnostics().graph(request, reply);
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer")
}

/// Looks until something is to be seen.
async fn see<T>(bench: &Bench, session: Option<&SessionId>, seen: impl Fn(&Graph) -> Option<T>) -> T {
    let search = async {
        loop {
            let graph = look(bench, session, Duration::ZERO).await.expect("a graph");
            if let Some(seen) = seen(&graph) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, search).await.expect("seen in time")
}

fn element<'a>(pipeline: &'a GraphPipeline, name: &str) -> &'a GraphElement {
    let mut elements = pipeline.elements.iter();
    elements.find(|element| element.name == name).unwrap_or_else(|| panic!("no {name} in {pipeline:?}"))
}

fn path(bench: &Bench, codec: Codec, element: &str) -> ElementPath {
    ElementPath { key: bench.key(StreamType::Color), codec, element: element.into() }
}

async fn read(bench: &Bench, path: ElementPath) -> Result<ElementInfo, Error> {
    let (reply, answer) = oneshot::channel();
    bench.media.diagnostics().element(path, reply);
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer")
}

async fn set(bench: &Bench, path: ElementPath, values: Value) -> Result<ElementInfo, Error> {
    let values: BTreeMap<String, Value> = serde_json::from_value(values).expect("an object");
    let (reply, answer) = oneshot::channel();
    bench.media.diagnostics().set_properties(path, values, reply);
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_shows_the_flow_and_whose_the_branches_are() {
    let mut bench = Bench::with_color();
    let empty = look(&bench, None, Duration::ZERO).await.expect("a graph");
    assert!(empty.pipelines.is_empty() && !empty.measured);
    let (first, viewer) = bench.watch_color().await;
    let (second, _other) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    let both = |graph: &Graph| {
        let branches = graph.pipelines[0].elements.iter().filter(|element| element.session_id.is_some());
        (branches.count() == 2).then(|| graph.clone())
    };
    let graph = see(&bench, None, both).await;
    assert_eq!(graph.pipelines.len(), 1, "the sessions are boxes on the tee until they are asked for");
    let encoder = &graph.pipelines[0];
    assert_eq!((encoder.id.as_str(), encoder.kind), ("844212070924/color/h264", GraphKind::Encoder));
    assert!(encoder.file.as_deref().is_some_and(|file| file.ends_with("color.h264.gst")), "{:?}", encoder.file);
    assert_eq!(encoder.state, "PLAYING");
    let names: Vec<_> = encoder.elements.iter().map(|element| element.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"source"));
    let at = |name: &str| names.iter().position(|known| *known == name).expect("the element");
    assert!(
        at("source") < at("encoder") && at("encoder") < at("fanout") && at("fanout") == names.len() - 3,
        "{names:?}"
    );
    let mut sessions: Vec<_> = encoder.elements.iter().filter_map(|element| element.session_id.clone()).collect();
    sessions.sort();
    let mut expected = [first.clone(), second];
    expected.sort();
    assert_eq!(sessions, expected);
    assert!(encoder.elements.iter().all(|element| element.state == "PLAYING" && element.meter.is_none()));
    // The encoder tells its real settings, the others what is not as usual.
    let settings = &element(encoder, "encoder").properties;
    assert!(settings.len() > 20 && settings["bitrate"] == json!(2000) && settings["speed-preset"] == "superfast");
    assert!(!element(encoder, "fanout").properties.contains_key("name"));
    assert_eq!(element(encoder, "fanout").properties["allow-not-linked"], true);
    let queue = element(encoder, "source").queue.expect("an appsrc queues");
    assert_eq!(queue.max_buffers, 2);
    let into = |name: &str| encoder.links.iter().find(|link| link.to == name).expect("linked");
    assert!(into("encoder").caps.as_deref().is_some_and(|caps| caps.contains("width=(int)320")), "{:?}", encoder.links);
    assert!(into("fanout").caps.as_deref().is_some_and(|caps| caps.starts_with("video/x-h264")));
    assert_eq!(encoder.links.iter().filter(|link| link.from == "fanout").count(), 2);

    // The inside of a session, by its id and by what the log calls it.
    for asked in [first.clone(), SessionId::new(first.short())] {
        let graph = look(&bench, Some(&asked), Duration::ZERO).await.expect("a graph");
        let session = graph.pipelines.iter().find(|pipeline| pipeline.kind == GraphKind::Session).expect("the session");
        assert_eq!(session.session_id.as_ref(), Some(&first));
        assert!(session.elements.len() > 15, "{} elements", session.elements.len());
        assert_eq!(element(session, "payloader-color").factory, "rtph264pay");
        assert!(session.elements.iter().any(|element| element.factory == "nicesink" && element.name.contains('/')));
        let text = serde_json::to_string(&graph).expect("JSON");
        assert!(!text.contains("PRIVATE KEY") && !text.contains("srtp-key"), "no secrets");
        let linked = |name: &str| session.links.iter().any(|link| link.from == name);
        assert!(linked("source-color") && linked("payloader-color"), "through the walls of bins");
        let drawn = graph::svg(&graph);
        assert!(drawn.starts_with("<svg") && drawn.contains("nicesink") && drawn.contains(first.short()));
        assert!(graph::dot(&graph).contains("style=dashed"), "the tee's branch leads to the session's source");
    }
    let unknown = look(&bench, Some(&SessionId::new("nobody")), Duration::ZERO).await.expect_err("unknown");
    assert_eq!(unknown.kind(), Kind::NotFound);
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measuring_follows_what_runs_and_ends_by_itself() {
    let mut bench = Bench::with_color();
    bench.camera(StreamType::Depth, PixelFormat::Z16, SMALL);
    let (session, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    assert!(!look(&bench, None, Duration::ZERO).await.expect("a graph").measured, "off until somebody asks");
    assert!(look(&bench, Some(&session), Duration::from_secs(300)).await.expect("a graph").measured);
    let flows = |graph: &Graph, pipeline: usize, name: &str| {
        let meter = element(graph.pipelines.get(pipeline)?, name).meter?;
        (meter.buffers_per_s > 15.0).then_some(meter)
    };
    let encoder =
        see(&bench, None, |graph| flows(graph, 0, "encoder").filter(|meter| meter.latency_ms.is_some())).await;
    assert!(encoder.buffers_per_s < 40.0 && encoder.kbps > 10.0, "{encoder:?}");
    let (mean, max) = (encoder.latency_ms.expect("mean"), encoder.latency_max_ms.expect("max"));
    assert!(mean > 0.0 && mean <= max && max < 2000.0, "{encoder:?}");
    assert_eq!(encoder.dropped, 0);
    // More comes out of the payloader than goes in, and all within one unit's time.
    let payloader = |graph: &Graph| {
        let session = graph.pipelines.iter().position(|pipeline| pipeline.kind == GraphKind::Session)?;
        flows(graph, session, "payloader-color")
    };
    let payloader = see(&bench, Some(&session), payloader).await;
    assert_eq!(payloader.dropped, 0);
    // A stream that starts meanwhile, in another codec.
    let options = Options { codecs: vec![Codec::VP8], ..Options::default() };
    let (other, _watching) = bench.join(&[(StreamType::Depth, SMALL)], &Codec::ALL, options).await;
    let depth = |graph: &Graph| {
        let at = graph.pipelines.iter().position(|pipeline| pipeline.id == "844212070924/depth/vp8")?;
        let tee = flows(graph, at, "fanout")?;
        assert_eq!(tee.latency_ms, None, "a tee has several ways out");
        flows(graph, at, "encoder")?.latency_ms
    };
    see(&bench, None, depth).await;
    // Who leaves takes its probes along.
    bench.media.close_session(other.clone());
    see(&bench, None, |graph| {
        let sinks = graph.pipelines.iter().flat_map(|pipeline| &pipeline.elements);
        (!sinks.filter_map(|element| element.session_id.as_ref()).any(|id| *id == other)).then_some(())
    })
    .await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 60).await.expect("pictures all the while");
    assert_eq!(viewer.stats().streams[0].lost, 0);
    bench.shutdown().await;

    let mut bench = Bench::with_color();
    let (_, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    look(&bench, None, Duration::from_secs(1)).await.expect("a graph");
    see(&bench, None, |graph| graph.pipelines[0].elements.iter().any(|element| element.meter.is_some()).then_some(()))
        .await;
    see(&bench, None, |graph| (!graph.measured).then_some(())).await;
    let after = look(&bench, None, Duration::ZERO).await.expect("a graph");
    assert!(after.pipelines[0].elements.iter().all(|element| element.meter.is_none()));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_are_set_live_and_read_back() {
    let mut settings = config();
    settings.server.admin_token = "admin".into();
    settings.debug.settable = vec!["encoder.bitrate".into()];
    let mut bench = Bench::start(settings);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let not_yet = read(&bench, path(&bench, Codec::H264, "encoder")).await.expect_err("nothing runs");
    assert_eq!(not_yet.kind(), Kind::NotFound);
    let (_, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    let info = read(&bench, path(&bench, Codec::H264, "encoder")).await.expect("it runs");
    assert_eq!((info.path.as_str(), info.factory.as_str()), ("844212070924/color/h264/encoder", "x264enc"));
    assert_eq!(info.state, "PLAYING");
    let bitrate = &info.properties["bitrate"];
    assert!(bitrate.value == json!(2000) && bitrate.mutable_playing && bitrate.settable, "{bitrate:?}");
    assert!(!info.properties["key-int-max"].settable, "only what is listed");

    let info = set(&bench, path(&bench, Codec::H264, "encoder"), json!({"bitrate": 400})).await.expect("it is set");
    assert_eq!(info.properties["bitrate"].value, json!(400));
    for (values, words) in
        [(json!({"bitrate": 500, "bitrat": 5}), "did you mean 'bitrate'"), (json!({"bitrate": 0}), "goes from 1 to")]
    {
        let refused = set(&bench, path(&bench, Codec::H264, "encoder"), values).await.expect_err("refused");
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(refused.public().contains(words), "{refused}");
    }
    let leaky =
        set(&bench, path(&bench, Codec::H264, "source"), json!({"leaky-type": "none"})).await.expect_err("refused");
    assert!(leaky.public().contains("while it plays"), "{leaky}");
    let after = read(&bench, path(&bench, Codec::H264, "encoder")).await.expect("it runs");
    assert_eq!(after.properties["bitrate"].value, json!(400), "what was refused changed nothing");

    let unknown = read(&bench, path(&bench, Codec::H264, "encodr")).await.expect_err("unknown");
    assert!(unknown.kind() == Kind::NotFound && unknown.public().contains("encoder"), "{unknown}");
    let other = read(&bench, path(&bench, Codec::VP8, "encoder")).await.expect_err("not in this codec");
    assert_eq!(other.kind(), Kind::NotFound);
    let frames = viewer.stats().streams[0].frames;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= frames + 20).await.expect("pictures go on");
    bench.shutdown().await;
}
