//! What the media side does when its control thread hangs: it says so, queues nothing without end, and ends.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

use super::*;
use crate::{
    core::mailbox::MAX_ASKED,
    error::Kind,
    model::{Codec, StreamType},
};

/// How often these tests have the control thread looked at. Ten looks without a turn are a hang, and an idle thread takes
/// two turns a second.
const LOOK: Duration = Duration::from_millis(150);

struct Bench {
    media: GstMedia,
    metrics: Arc<Metrics>,
    events: Receiver<MediaEvent>,
}

fn start(look_every: Duration) -> Bench {
    let (sender, events) = channel();
    let sender = crate::sync::Mutex::new(sender);
    let tell = Arc::new(move |event| drop(sender.lock().map(|sender| sender.send(event))));
    let metrics = Arc::<Metrics>::default();
    // What is told of the folder's files, and by the session that warms webrtcbin up, waits like the rest, and would be
    // counted.
    let mut config = Config::default();
    config.pipelines.reload = false;
    let start = Start { look_every, warm_up: false };
    let media = start_watched(Arc::new(config), Arc::default(), metrics.clone(), tell, start).expect("starts");
    Bench { media, metrics, events }
}

impl Bench {
    /// Holds the control thread until the sender is dropped, once it has done what came before.
    fn hang(&self) -> Sender<()> {
        let (release, held) = channel();
        self.media.send(Msg::Hang(held));
        release
    }

    fn until(&self, what: &str, met: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !met() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
    }

    fn waiting(&self) -> i64 {
        self.metrics.control.waiting.get()
    }

    fn event(&self) -> MediaEvent {
        self.events.recv_timeout(Duration::from_secs(30)).expect("an event")
    }
}

fn spec(number: usize) -> SessionSpec {
    let profile = Config::default().streams.color.profile();
    let (session, device) = (SessionId::new(format!("session-{number}")), DeviceId::new("1"));
    let streams = vec![(StreamType::Color, profile)];
    SessionSpec {
        session,
        device,
        streams,
        largest: Vec::new(),
        codecs: vec![Codec::H264],
        spare: 0,
        data_channel: false,
    }
}

#[test]
fn a_control_thread_that_hangs_is_told_and_then_given_up() {
    let bench = start(LOOK);
    assert_eq!(bench.media.diagnostics().trouble(), None);
    let release = bench.hang();
    bench.until("the hang is noticed", || bench.media.diagnostics().trouble().is_some());
    let trouble = bench.media.diagnostics().trouble().expect("it hangs");
    assert!(trouble.contains("hung while it is held by a test") && trouble.contains("within 60 s"), "{trouble}");
    assert!(bench.metrics.control.age_s.get() >= 10);
    // What is asked is refused at once, and the refusal is an answer.
    let refusal = bench.media.refusal().expect("refused");
    assert!(matches!(refusal.kind(), Kind::Unavailable { .. }), "{refusal:?}");
    let waiting = bench.waiting();
    bench.media.open_session(spec(1));
    bench.media.set_answer(SessionId::new("x"), "v=0".into());
    let (reply, mut statistics) = oneshot::channel();
    bench.media.stats(Vec::new(), reply);
    assert_eq!(bench.waiting(), waiting, "nothing is kept for later");
    assert!(matches!(bench.event(), MediaEvent::Offer { result: Err(_), .. }));
    assert!(matches!(bench.event(), MediaEvent::Answered { result: Err(_), .. }));
    assert!(statistics.try_recv().is_err());
    // The end of a session is kept.
    bench.media.close_session(SessionId::new("x"));
    assert_eq!(bench.waiting(), waiting + 1);
    assert!(matches!(bench.event(), MediaEvent::Failed), "it does not come back");
    drop(release);
    bench.until("what waited is done after all", || bench.waiting() == 0);
}

#[test]
fn a_control_thread_that_comes_back_serves_again() {
    let bench = start(LOOK);
    let release = bench.hang();
    bench.until("the hang is noticed", || bench.media.diagnostics().trouble().is_some());
    drop(release);
    bench.until("it is well again", || bench.media.diagnostics().trouble().is_none());
    bench.media.open_session(spec(1));
    assert!(matches!(bench.event(), MediaEvent::Offer { result: Ok(_), .. }));
    let (done, ended) = oneshot::channel();
    bench.media.shutdown(done);
    assert!(ended.blocking_recv().is_ok(), "it shuts down");
}

#[test]
fn what_is_asked_does_not_pile_up_before_a_hang_is_noticed() {
    // Nobody looks within this test.
    let bench = start(Duration::from_secs(3600));
    let release = bench.hang();
    bench.until("it hangs", || bench.waiting() == 0);
    let mut answers = Vec::new();
    for number in 0..2 * MAX_ASKED {
        match number % 2 {
            0 => bench.media.add_candidate(SessionId::new("x"), candidate()),
            _ => {
                let (reply, answer) = oneshot::channel();
                bench.media.stats(Vec::new(), reply);
                answers.push(answer);
            }
        }
    }
    assert_eq!(bench.waiting(), 256);
    assert_eq!(bench.metrics.control.refused.get(), 256);
    assert!(bench.media.refusal().is_some());
    let (reply, reloaded) = oneshot::channel();
    bench.media.diagnostics().reload("color.h264".into(), reply);
    assert!(reloaded.blocking_recv().is_ok_and(|reloaded| reloaded.is_err()), "the refusal says why");
    // What must not be lost is not, whatever else waits.
    for number in 0..1000 {
        bench.media.close_session(SessionId::new(format!("session-{number}")));
    }
    assert_eq!(bench.waiting(), 256 + 1000);
    drop(release);
    bench.until("all of it is done", || bench.waiting() == 0);
    bench.until("and may be asked again", || bench.media.refusal().is_none());
    let answered = answers.into_iter().filter_map(|answer| answer.blocking_recv().ok()).count();
    assert!((1..=128).contains(&answered), "{answered} requests for statistics were answered");
}

fn candidate() -> IceCandidate {
    IceCandidate { candidate: "candidate:1 1 UDP 1 127.0.0.1 9 typ host".into(), sdp_mid: None, sdp_mline_index: None }
}
