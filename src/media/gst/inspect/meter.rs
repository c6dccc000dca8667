//! Measuring elements: buffers, bits, drops and the time from in to out, by probes of our own. Owns the probes and the
//! "media-meter" thread, which both exist only while somebody measures: otherwise nothing is installed and nothing is spent.
//! The thread follows what runs, so that pipelines that start or are swapped meanwhile are measured, too.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};

use super::{
    flow::Flow,
    inspector::ask_control,
    snapshot::{Running, SnapshotRequest},
};
use crate::{
    media::gst::{
        port::Port,
        walk::{elements, reorder},
    },
    model::{DeviceId, GraphMeter, SessionId},
    sync::{Condvar, Mutex, lock},
};

/// How often the thread looks for what is new.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// What is measured; cheap to clone.
#[derive(Clone)]
pub(in crate::media::gst) struct Meters {
    shared: Arc<Shared>,
}

struct Shared {
    control: Port<SnapshotRequest>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    devices: HashMap<DeviceId, Measured>,
    /// Whether the thread runs.
    follows: bool,
    closed: bool,
}

/// A device that is measured.
struct Measured {
    until: Instant,
    /// The sessions whose pipelines are measured, too: those that were asked for.
    sessions: HashSet<SessionId>,
    /// By the pipeline's serial number.
    pipelines: HashMap<u64, Arc<PipelineMeters>>,
}

/// The meters of one pipeline.
#[derive(Default)]
pub(in crate::media::gst) struct PipelineMeters {
    meters: Mutex<Vec<(glib::WeakRef<gst::Element>, Arc<ElementMeter>)>>,
    /// Touched by the thread only.
    probes: Mutex<Vec<(glib::WeakRef<gst::Pad>, gst::PadProbeId)>>,
}

/// One element's. Its lock is taken once per buffer and for a few instructions; only elements with threads on both sides,
/// and readers, ever meet in it.
struct ElementMeter {
    begun: Instant,
    flow: Mutex<Flow>,
}

impl Meters {
    pub(in crate::media::gst) fn new(control: Port<SnapshotRequest>) -> Self {
        Self { shared: Arc::new(Shared { control, state: Mutex::default(), changed: Condvar::new() }) }
    }

    /// Measures a device, and a session of it, from now on for so long. Zero only adds the session to what is measured.
    pub(in crate::media::gst) fn measure(&self, device: &DeviceId, session: Option<&SessionId>, duration: Duration) {
        let mut state = lock(&self.shared.state);
        if state.closed || (duration.is_zero() && !state.devices.contains_key(device)) {
            return;
        }
        let until = Instant::now() + duration;
        let is_new = !state.devices.contains_key(device);
        let measured = state.devices.entry(device.clone()).or_insert_with(|| Measured {
            until,
            sessions: HashSet::new(),
            pipelines: HashMap::new(),
        });
        measured.until = measured.until.max(until);
        let has_new = session.is_some_and(|session| measured.sessions.insert(session.clone()));
        if state.follows {
            drop(state);
            if is_new || has_new {
                self.shared.changed.notify_all();
            }
            return;
        }
        state.follows = true;
        drop(state);
        let shared = self.shared.clone();
        if let Err(error) = thread::Builder::new().name("media-meter".into()).spawn(move || shared.follow()) {
            tracing::error!(%error, "No thread to measure pipelines");
            let mut state = lock(&self.shared.state);
            state.follows = false;
            state.devices.clear();
        }
    }

    /// Whether a device is measured.
    pub(super) fn is_measured(&self, device: &DeviceId) -> bool {
        lock(&self.shared.state).devices.contains_key(device)
    }

    /// The meters of a pipeline, where it is measured.
    pub(in crate::media::gst) fn of(&self, device: &DeviceId, serial: u64) -> Option<Arc<PipelineMeters>> {
        lock(&self.shared.state).devices.get(device)?.pipelines.get(&serial).cloned()
    }

    /// Ends the thread. The probes go with their pipelines.
    pub(in crate::media::gst) fn stop(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// The thread's life: follows what runs until nobody measures.
    fn follow(&self) {
        tracing::debug!("Measuring began");
        loop {
            let (devices, ended) = {
                let mut state = lock(&self.state);
                let ended = end_due(&mut state, Instant::now());
                if state.devices.is_empty() || state.closed {
                    // Whoever asks from here on starts a new thread.
                    state.follows = false;
                }
                (if state.follows { state.devices.keys().cloned().collect() } else { Vec::new() }, ended)
            };
            ended.iter().for_each(|meters| meters.remove());
            if devices.is_empty() {
                break;
            }
            for device in &devices {
                // An assertion in a binding must not end measuring, and leave what is measured for ever.
                if catch_unwind(AssertUnwindSafe(|| self.install(device))).is_err() {
                    tracing::error!(%device, "Putting meters on failed because of a bug");
                }
            }
            let state = lock(&self.state);
            let next = state.devices.values().map(|measured| measured.until).min();
            let wait =
                next.map_or(FOLLOW_EVERY, |until| until.saturating_duration_since(Instant::now()).min(FOLLOW_EVERY));
            if !state.closed {
                drop(self.changed.wait_timeout(state, wait));
            }
        }
        tracing::debug!("Measuring ended");
    }

    /// Sees to it that what runs of a device now is measured, and what is gone forgotten.
    fn install(&self, device: &DeviceId) {
        let Some(Running { encoders, sessions }) = ask_control(&self.control, device, None) else { return };
        let encoders = encoders.into_iter().map(|encoder| (encoder.serial, encoder.pipeline, true));
        let wanted = {
            let state = lock(&self.state);
            let Some(measured) = state.devices.get(device) else { return };
            measured.sessions.clone()
        };
        let there: Vec<_> = sessions.iter().map(|session| session.session.clone()).collect();
        let is_wanted = |id: &SessionId| wanted.iter().any(|wanted| wanted == id || wanted.as_str() == id.short());
        let sessions = sessions.into_iter().filter(|session| is_wanted(&session.session));
        let sessions = sessions.map(|session| (session.serial, session.pipeline, false));
        let pipelines: Vec<_> = encoders.chain(sessions).collect();
        let meters: Vec<_> = {
            let mut state = lock(&self.state);
            let Some(measured) = state.devices.get_mut(device) else { return };
            measured.pipelines.retain(|serial, _| pipelines.iter().any(|(running, ..)| running == serial));
            measured.sessions.retain(|wanted| there.iter().any(|id| wanted == id || wanted.as_str() == id.short()));
            pipelines.iter().map(|(serial, ..)| measured.pipelines.entry(*serial).or_default().clone()).collect()
        };
        for ((_, pipeline, deep), meters) in pipelines.iter().zip(meters) {
            meters.install(pipeline, *deep);
        }
    }
}

/// Takes out what is not to be measured any more.
fn end_due(state: &mut State, now: Instant) -> Vec<Arc<PipelineMeters>> {
    let due: Vec<_> =
        state.devices.iter().filter(|(_, measured)| measured.until <= now).map(|(device, _)| device.clone()).collect();
    let ended = due.iter().filter_map(|device| state.devices.remove(device));
    ended.flat_map(|measured| measured.pipelines.into_values()).collect()
}

impl PipelineMeters {
    /// What was measured at an element; `None` for one that is not measured, or only since a moment ago.
    pub(in crate::media::gst) fn read(&self, element: &gst::Element) -> Option<GraphMeter> {
        let meter = {
            let meters = lock(&self.meters);
            meters
                .iter()
                .find(|(known, _)| known.upgrade().as_ref() == Some(element))
                .map(|(_, meter)| meter.clone())?
        };
        let now = meter.now();
        lock(&meter.flow).read(now)
    }

    /// Puts probes on the pads that have none yet; of a session's pipeline only outside of webrtcbin.
    fn install(&self, pipeline: &gst::Pipeline, deep: bool) {
        lock(&self.meters).retain(|(element, _)| element.upgrade().is_some());
        lock(&self.probes).retain(|(pad, _)| pad.upgrade().is_some());
        for (element, name) in elements(pipeline) {
            if !deep && name.contains('/') {
                continue;
            }
            let pads = element.pads();
            let mut new: Vec<_> = pads.iter().filter(|pad| !self.has_probe(pad)).collect();
            // First where things go out: what comes in before its way out is watched would count as dropped.
            new.sort_by_key(|pad| pad.direction() == gst::PadDirection::Sink);
            if new.is_empty() {
                continue;
            }
            let meter = self.meter(&element, &pads);
            for pad in new {
                if let Some(probe) = meter.clone().watch(pad) {
                    lock(&self.probes).push((pad.downgrade(), probe));
                }
            }
        }
    }

    fn has_probe(&self, pad: &gst::Pad) -> bool {
        lock(&self.probes).iter().any(|(known, _)| known.upgrade().as_ref() == Some(pad))
    }

    fn meter(&self, element: &gst::Element, pads: &[gst::Pad]) -> Arc<ElementMeter> {
        let mut meters = lock(&self.meters);
        if let Some((_, meter)) = meters.iter().find(|(known, _)| known.upgrade().as_ref() == Some(element)) {
            return meter.clone();
        }
        let sources = pads.iter().filter(|pad| pad.direction() == gst::PadDirection::Src).count();
        let one_to_one = sources == 1 && pads.len() == 2;
        // Of a tee it tells more what went in than the sum over its branches.
        let counts_in = sources == 0 || (sources > 1 && pads.len() == sources + 1) || is_tee(element);
        let flow = Mutex::new(Flow::new((one_to_one && !counts_in).then(|| reorder(element)), counts_in));
        let meter = Arc::new(ElementMeter { begun: Instant::now(), flow });
        meters.push((element.downgrade(), meter.clone()));
        meter
    }

    /// Takes the probes off; a pad that is gone took its own along.
    fn remove(&self) {
        let probes = std::mem::take(&mut *lock(&self.probes));
        for (pad, probe) in probes {
            if let Some(pad) = pad.upgrade() {
                pad.remove_probe(probe);
            }
        }
    }
}

fn is_tee(element: &gst::Element) -> bool {
    element.factory().is_some_and(|factory| factory.name() == "tee")
}

impl ElementMeter {
    /// Nanoseconds since it began.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn watch(self: Arc<Self>, pad: &gst::Pad) -> Option<gst::PadProbeId> {
        let comes_in = pad.direction() == gst::PadDirection::Sink;
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |pad, info| {
            let (buffers, bytes, pts) = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => (1, buffer.size(), buffer.pts()),
                Some(gst::PadProbeData::BufferList(list)) => {
                    let bytes = list.iter().map(gst::BufferRef::size).sum();
                    (list.len(), bytes, list.get(0).and_then(gst::BufferRef::pts))
                }
                _ => return gst::PadProbeReturn::Ok,
            };
            let time = pts.and_then(|pts| running_time(pad, pts));
            let now = self.now();
            let mut flow = lock(&self.flow);
            if comes_in {
                flow.arrived(now, buffers as u64, bytes as u64, time);
            } else {
                flow.left(now, buffers as u64, bytes as u64, time);
            }
            gst::PadProbeReturn::Ok
        })
    }
}

/// A buffer's running time in nanoseconds. Encoders shift timestamps (x264's start at 1000 hours) and their segment with
/// them; running time is what both sides of an element agree on.
pub(crate) fn running_time(pad: &gst::Pad, pts: gst::ClockTime) -> Option<u64> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(pts).map(gst::ClockTime::nseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(what: &str, met: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !met() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn probes_measure_until_they_are_taken_off() {
        gst::init().expect("GStreamer");
        let text = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=100/1 ! x264enc name=encoder \
                    tune=zerolatency ! valve name=valve ! tee name=fanout ! queue ! fakesink name=sink sync=false \
                    fanout. ! queue ! fakesink async=false";
        let pipeline = gst::parse::launch(text).expect("builds").downcast::<gst::Pipeline>().expect("a pipeline");
        pipeline.set_state(gst::State::Playing).expect("plays");
        let by_name = |name: &str| pipeline.by_name(name).expect("the element");
        let meters = PipelineMeters::default();
        meters.install(&pipeline, true);
        let probes = lock(&meters.probes).len();
        meters.install(&pipeline, true);
        assert_eq!(lock(&meters.probes).len(), probes, "a second look adds nothing");
        let read = |name: &str| meters.read(&by_name(name));
        until("the encoder is measured", || {
            read("encoder")
                .is_some_and(|meter| meter.latency_ms.is_some_and(|ms| ms > 0.0) && meter.buffers_per_s > 5.0)
        });
        // x264's timestamps begin at 1000 hours: matched by them nothing would fit, and all would count as dropped.
        assert_eq!(read("encoder").map(|meter| meter.dropped), Some(0));
        assert!(read("fanout").is_some_and(|meter| meter.latency_ms.is_none() && meter.buffers_per_s > 0.0));
        by_name("valve").set_property("drop", true);
        // It swallows without a trace until it lets something out again, or too much is inside.
        until("some are swallowed", || lock(&meters.meter(&by_name("valve"), &[]).flow).inside() > 5);
        by_name("valve").set_property("drop", false);
        until("they count as dropped", || read("valve").is_some_and(|meter| meter.dropped > 5));
        meters.remove();
        assert!(lock(&meters.probes).is_empty());
        until("nothing is counted any more", || read("sink").is_some_and(|meter| meter.buffers_per_s == 0.0));
        pipeline.set_state(gst::State::Null).expect("stops");
    }

    #[test]
    fn measuring_ends_at_its_time_and_its_thread_with_it() {
        gst::init().expect("GStreamer");
        let (ask, asked) = std::sync::mpsc::channel();
        let meters = Meters::new(Port::new(move |request| {
            let _ = ask.send(request);
            Ok(())
        }));
        let device = DeviceId::new("1");
        meters.measure(&device, None, Duration::ZERO);
        assert!(!meters.is_measured(&device) && asked.try_iter().next().is_none(), "zero begins nothing");
        meters.measure(&device, None, Duration::from_millis(300));
        assert!(meters.is_measured(&device));
        let first = std::cell::RefCell::new(None);
        until("it asks what runs", || {
            *first.borrow_mut() = asked.try_iter().next();
            first.borrow().is_some()
        });
        let Some(SnapshotRequest { device: of, session: None, reply }) = first.take() else {
            panic!("nothing else is asked")
        };
        assert_eq!(of, device);
        drop(reply);
        until("it ends", || !meters.is_measured(&device) && !lock(&meters.shared.state).follows);
        meters.measure(&device, None, Duration::from_secs(600));
        until("it begins anew", || asked.try_iter().next().is_some());
        meters.stop();
        until("the server's end ends it", || !lock(&meters.shared.state).follows);
    }
}
