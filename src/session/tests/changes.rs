//! Changes of what a session carries.

use super::*;
use crate::{
    model::StreamKey,
    session::api::{ChangeRequest, Changed},
};

const WIDE: Profile = Profile { width: 848, height: 480, framerate: 15 };

impl Bench {
    /// A session with spare m-lines that is connected.
    async fn connect_spare(&self, streams: &[StreamType], spare: usize) -> SessionId {
        let request = OfferRequest { spare, ..self.request(streams) };
        let session = self.handle.offer(request).await.unwrap().session;
        self.handle.answer(session.clone(), "v=0".into()).await.unwrap();
        self.media.emit(MediaEvent::Connected { session: session.clone(), remote_address: None });
        session
    }

    async fn change(
        &self,
        session: &SessionId,
        streams: Option<&[StreamType]>,
        profiles: &[(StreamType, Profile)],
    ) -> Result<Changed, Error> {
        self.change_or_grow(session, streams, profiles, false).await
    }

    async fn change_or_grow(
        &self,
        session: &SessionId,
        streams: Option<&[StreamType]>,
        profiles: &[(StreamType, Profile)],
        renegotiate: bool,
    ) -> Result<Changed, Error> {
        let (session, profiles) = (session.clone(), profiles.iter().copied().collect());
        let streams = streams.map(<[_]>::to_vec);
        self.handle.change(ChangeRequest { session, streams, profiles, renegotiate }).await
    }

    async fn grow(&self, session: &SessionId, streams: &[StreamType]) -> Result<Changed, Error> {
        self.change_or_grow(session, Some(streams), &[], true).await
    }

    async fn carried(&self, session: &SessionId) -> Vec<StreamType> {
        self.handle.session(session.clone()).await.unwrap().streams
    }

    fn switched(&self) -> Vec<Vec<Option<StreamType>>> {
        let calls = self.media.calls().into_iter();
        calls.filter_map(|call| if let Call::Switch(_, lines) = call { Some(lines) } else { None }).collect()
    }

    async fn held(&self) -> BTreeMap<StreamType, usize> {
        self.handle.references().await.unwrap().references.remove(&self.device).unwrap_or_default()
    }
}

#[tokio::test]
async fn streams_come_and_go_on_the_lines_that_there_are() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect_spare(&[StreamType::Color], 1).await;
    let changed = bench.change(&session, Some(&[StreamType::Depth, StreamType::Color]), &[]).await.unwrap();
    let streams: Vec<_> = changed.streams.iter().map(|stream| (stream.stream_type, stream.mline_index)).collect();
    assert_eq!(streams, [(StreamType::Color, 0), (StreamType::Depth, 1)]);
    assert_eq!(bench.held().await, BTreeMap::from([(StreamType::Color, 1), (StreamType::Depth, 1)]));
    let changed = bench.change(&session, Some(&[StreamType::Depth]), &[]).await.unwrap();
    assert_eq!((changed.streams[0].stream_type, changed.streams[0].mline_index), (StreamType::Depth, 1));
    assert_eq!(bench.carried(&session).await, [StreamType::Depth]);
    bench.change(&session, Some(&[StreamType::Infrared(1), StreamType::Depth]), &[]).await.unwrap();
    assert_eq!(
        bench.switched(),
        [
            vec![Some(StreamType::Color), Some(StreamType::Depth)],
            vec![None, Some(StreamType::Depth)],
            vec![Some(StreamType::Infrared(1)), Some(StreamType::Depth)]
        ]
    );
    assert_eq!(bench.held().await, BTreeMap::from([(StreamType::Depth, 1), (StreamType::Infrared(1), 1)]));
    bench.handle.close(session).await.unwrap();
    assert_eq!(bench.held().await, BTreeMap::new());
}

#[tokio::test]
async fn a_profile_restarts_the_sensor_and_holds_nothing() {
    let bench = Bench::new(|config| config.camera.linger_s = 0.0).await;
    let other = bench.connect(&[StreamType::Infrared(1)]).await;
    let session = bench.connect_spare(&[StreamType::Depth], 0).await;
    let changed = bench.change(&session, None, &[(StreamType::Depth, WIDE)]).await.unwrap();
    assert_eq!((changed.streams[0].profile, &changed.streams[0].note), (WIDE, &None));
    assert_eq!(bench.held().await, BTreeMap::from([(StreamType::Depth, 1), (StreamType::Infrared(1), 1)]));
    let running = bench.handle.references().await.unwrap().running;
    assert!(running[&bench.device].iter().all(|stream| stream.config.profile == WIDE), "{running:?}");
    bench.handle.close(other).await.unwrap();
    bench.handle.close(session).await.unwrap();
    bench.until(|now| now.running.is_empty()).await;
}

#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect_spare(&[StreamType::Depth], 0).await;
    bench.connect(&[StreamType::Infrared(1)]).await;
    let before = bench.handle.references().await.unwrap();
    let odd = Profile { width: 641, ..WIDE };
    let both = [StreamType::Depth, StreamType::Color];
    for (streams, profiles, kind, word) in [
        (Some(&both[..]), &[][..], Kind::Conflict, "1 m-line"),
        (None, &[(StreamType::Depth, odd)], Kind::Invalid, "nearest"),
        (None, &[(StreamType::Color, VGA)], Kind::Invalid, "not to carry"),
    ] {
        let error = bench.change(&session, streams, profiles).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.public().contains(word), "{error}");
    }
    let unknown = bench.change(&SessionId::new("nobody"), Some(&both), &[]).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
    let unanswered = bench.offer(&[StreamType::Depth]).await.unwrap().session;
    let error = bench.change(&unanswered, Some(&[StreamType::Color]), &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.public().contains("no answer yet"), "{error}");
    bench.handle.close(unanswered).await.unwrap();
    assert_eq!(bench.handle.references().await.unwrap(), before);
    assert!(bench.switched().is_empty());
}

#[tokio::test]
async fn a_camera_that_refuses_leaves_the_session_as_it_was() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect_spare(&[StreamType::Color], 1).await;
    bench.handle.inject_fault(&bench.device, SimFault::FailStart).await.unwrap();
    let error = bench.change(&session, Some(&[StreamType::Color, StreamType::Depth]), &[]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error:?}");
    assert_eq!(bench.carried(&session).await, [StreamType::Color]);
    assert_eq!(bench.held().await, BTreeMap::from([(StreamType::Color, 1)]));
    let error =
        bench.change(&session, None, &[(StreamType::Color, Profile { framerate: 15, ..VGA })]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error:?}");
    bench.handle.inject_fault(&bench.device, SimFault::Clear).await.unwrap();
    let color = StreamKey::new(bench.device.clone(), StreamType::Color);
    bench
        .until(|now| {
            now.running.values().flatten().any(|config| config.stream == color.stream && config.profile == VGA)
        })
        .await;
    assert_eq!(bench.handle.session(session).await.unwrap().state, SessionState::Connected);
}

#[tokio::test]
async fn a_session_that_ends_takes_its_change_along() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect_spare(&[StreamType::Color], 1).await;
    let streams = [StreamType::Color, StreamType::Depth];
    let (changed, closed) = tokio::join!(bench.change(&session, Some(&streams), &[]), async {
        tokio::task::yield_now().await;
        bench.handle.close(session.clone()).await.unwrap()
    });
    assert!(closed);
    // Either the camera was faster, or the change is told; nothing is held in both cases.
    if let Err(error) = changed {
        assert!(error.public().contains("ended before this was done"), "{error}");
    }
    assert_eq!(bench.held().await, BTreeMap::new());
}

#[tokio::test]
async fn lines_that_are_missing_come_with_a_new_offer() {
    let bench = Bench::new(|config| config.camera.linger_s = 0.0).await;
    // Behind the first line there is one of data.
    let request = OfferRequest { data_channel: true, ..bench.request(&[StreamType::Color]) };
    let session = bench.handle.offer(request).await.unwrap().session;
    bench.handle.answer(session.clone(), "v=0".into()).await.unwrap();
    bench.media.emit(MediaEvent::Connected { session: session.clone(), remote_address: None });

    let wanted = [StreamType::Depth, StreamType::Infrared(1)];
    let changed = bench.grow(&session, &wanted).await.unwrap();
    assert!(changed.sdp.is_some_and(|sdp| sdp.starts_with("v=0")));
    let streams: Vec<_> = changed.streams.iter().map(|stream| (stream.stream_type, stream.mline_index)).collect();
    assert_eq!(streams, [(StreamType::Depth, 0), (StreamType::Infrared(1), 2)]);
    // Until the answer everything is as it was, and held.
    assert_eq!(bench.carried(&session).await, [StreamType::Color]);
    assert_eq!(bench.handle.session(session.clone()).await.unwrap().state, SessionState::Connected);
    let all = [StreamType::Color, StreamType::Depth, StreamType::Infrared(1)].map(|stream| (stream, 1));
    assert_eq!(bench.held().await, BTreeMap::from(all));
    assert!(bench.switched().is_empty());
    let busy = bench.grow(&session, &[StreamType::Color]).await.unwrap_err();
    assert!(busy.kind() == Kind::Conflict && busy.public().contains("not answered yet"), "{busy}");

    let bad = bench.handle.answer(session.clone(), "nonsense".into()).await.unwrap_err();
    assert_eq!(bad.kind(), Kind::Invalid, "a better one may follow");
    bench.handle.answer(session.clone(), "v=0".into()).await.unwrap();
    assert_eq!(bench.carried(&session).await, wanted);
    assert_eq!(bench.switched(), [vec![Some(StreamType::Depth), Some(StreamType::Infrared(1))]]);
    let held = BTreeMap::from(wanted.map(|stream| (stream, 1)));
    assert_eq!(bench.held().await, held, "what went is given back");
    let again = bench.handle.answer(session.clone(), "v=0".into()).await.unwrap_err();
    assert!(again.public().contains("answered already"), "{again}");

    // The lines that there are now take other streams without an offer, and there is an end of them.
    let changed = bench.grow(&session, &[StreamType::Color, StreamType::Infrared(1)]).await.unwrap();
    assert!(changed.sdp.is_none());
    let streams: Vec<_> = changed.streams.iter().map(|stream| (stream.stream_type, stream.mline_index)).collect();
    assert_eq!(streams, [(StreamType::Color, 0), (StreamType::Infrared(1), 2)]);
    bench.handle.close(session).await.unwrap();
    assert_eq!(bench.held().await, BTreeMap::new());
}

#[tokio::test]
async fn a_new_offer_that_nobody_answers_ends_the_session() {
    let bench = Bench::new(|config| config.sessions.answer_timeout_s = 1).await;
    let session = bench.connect_spare(&[StreamType::Color], 0).await;
    bench.grow(&session, &[StreamType::Color, StreamType::Depth]).await.unwrap();
    bench.until(|now| now.session_states.is_empty()).await;
    let gone = bench.handle.session(session).await.unwrap_err();
    assert_eq!((gone.kind(), gone.reason()), (Kind::NotFound, Some("no_answer")), "{gone}");
    assert_eq!(bench.held().await, BTreeMap::new());
}

#[tokio::test]
async fn a_new_offer_that_cannot_be_made_ends_the_session_in_words() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect_spare(&[StreamType::Color], 0).await;
    bench.media.refuse_offers(Some(Error::internal("webrtcbin makes none")));
    let error = bench.grow(&session, &[StreamType::Color, StreamType::Depth]).await.unwrap_err();
    assert!(error.public().contains("ended before this was done"), "{error}");
    assert_eq!(bench.held().await, BTreeMap::new());
}

#[tokio::test]
async fn streams_that_do_not_start_leave_the_session_without_a_new_offer() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect_spare(&[StreamType::Color], 0).await;
    bench.handle.inject_fault(&bench.device, SimFault::FailStart).await.unwrap();
    let error = bench.grow(&session, &[StreamType::Color, StreamType::Depth]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error:?}");
    assert!(!bench.media.calls().iter().any(|call| matches!(call, Call::Grow(..))));
    assert_eq!(bench.held().await, BTreeMap::from([(StreamType::Color, 1)]));
    assert_eq!(bench.handle.session(session).await.unwrap().state, SessionState::Connected);
}
