//! The policy for each message, and what the inbox does with it.

use super::*;
use crate::{media::gst::inspect::snapshot::SnapshotRequest, model::SessionId};

fn close(name: &str) -> Msg {
    Msg::Close(SessionId::new(name))
}

#[test]
fn what_a_session_reports_waits_once_and_its_candidates_up_to_a_bound() {
    let metrics = Arc::<ControlMetrics>::default();
    let (sender, receiver) = inbox(metrics.clone());
    for _ in 0..1000 {
        for serial in [1, 2] {
            for signal in [
                Signal::ConnectionState,
                Signal::GatheringComplete,
                Signal::DtlsClosed,
                Signal::Error("x".into()),
                Signal::LocalCandidate(0, "candidate".into()),
            ] {
                let _ = sender.send(Msg::Session(Report::Signal(serial, signal)));
            }
        }
        assert!(sender.send(Msg::Encoder(encoder::Report::Failed(3, "no".into()))).is_ok());
    }
    assert_eq!(metrics.waiting.get(), 2 * (4 + MAX_CANDIDATES as i64) + 1);
    assert_eq!(receiver.drain().count(), 2 * (4 + MAX_CANDIDATES) + 1);
}

#[test]
fn the_newest_text_of_a_file_is_the_one_that_counts() {
    let (sender, receiver) = inbox(Arc::default());
    for text in ["first", "second"] {
        assert!(
            sender
                .send(Msg::FileRead(FileRead { name: "color.h264".into(), text: Err(text.into()), reply: None }))
                .is_ok()
        );
    }
    let texts: Vec<_> = receiver.drain().collect();
    assert!(matches!(&texts[..], [Msg::FileRead(FileRead { text: Err(text), reply: None, .. })] if text == "second"));
}

#[test]
fn nothing_is_posted_to_a_thread_that_ended_and_what_waited_is_let_go() {
    let (sender, receiver) = inbox(Arc::default());
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    assert!(sender.send(Msg::Stats(Vec::new(), reply)).is_ok());
    drop(receiver);
    assert!(matches!(answer.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Closed)));
    let refused = sender.send(close("x")).expect_err("nobody is there");
    assert!(matches!(*refused, Msg::Close(_)));
}

#[test]
fn whatever_is_asked_for_somebody_is_bounded() {
    use crate::{core::mailbox::MAX_ASKED, model::DeviceId};
    let device = || DeviceId::new("1");
    let asked: [fn(DeviceId) -> Msg; 3] = [
        |device| Msg::DepthRange(device, 0.0, 1.0),
        |_| Msg::Pipelines(tokio::sync::oneshot::channel().0),
        |device| Msg::Running(SnapshotRequest { device, session: None, reply: std::sync::mpsc::sync_channel(1).0 }),
    ];
    for ask in asked {
        let (sender, receiver) = inbox(Arc::default());
        let taken = (0..2 * MAX_ASKED).filter(|_| sender.send(ask(device())).is_ok()).count();
        assert_eq!((taken, receiver.drain().count()), (MAX_ASKED, MAX_ASKED), "{}", ask(device()).doing());
    }
}

#[test]
fn an_idle_thread_takes_turns() {
    let (sender, receiver) = inbox(Arc::default());
    let began = Instant::now();
    assert!(receiver.next(None).is_none(), "nothing came");
    assert!(began.elapsed() < LOOK_EVERY * 5, "{:?}", began.elapsed());
    assert!(receiver.0.turns.load(Relaxed) >= 2);
    assert!(sender.send(close("x")).is_ok());
    assert!(matches!(receiver.next(None), Some(Msg::Close(_))));
    assert_eq!(receiver.0.watch().doing, Some("closes a session"));
    assert!(receiver.next(Some(Instant::now())).is_none(), "what is due does not wait");
}

#[test]
fn more_messages_than_can_be_right_give_the_thread_up() {
    use crate::core::mailbox::MAX_WAITING;
    let (sender, receiver) = inbox(Arc::default());
    // Closing is never refused, but for this.
    let refused = (0..=MAX_WAITING).find(|n| sender.send(close(&n.to_string())).is_err());
    assert_eq!(refused, Some(MAX_WAITING));
    let (lost, told) = std::sync::mpsc::channel();
    // So seldom that the thread is not given up for its silence before.
    let look = Duration::from_millis(400);
    sender.watch(look, move || _ = lost.send(())).expect("a thread");
    told.recv_timeout(look * 10).expect("it is given up");
    drop(receiver);
}
