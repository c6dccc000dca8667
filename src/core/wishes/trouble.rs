//! Which encoders fail now, and what that means for offers. Owns what was last said of each; takes `now` and how many pictures an
//! encoder has made in all; calls nobody. That one works again is seen by its pictures, so nobody has to report it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::model::{Codec, StreamKey};

/// How long an encoder that failed counts as failing when nothing more is heard of it. While somebody watches, it is tried again
/// at most 10 s after each failure and has 10 s to start; afterwards somebody has to be let through to try it.
const LAPSES: Duration = Duration::from_secs(30);

/// An encoder that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What the media side said, in words for a person.
    pub message: String,
    /// When it is tried again.
    pub retry_at: Instant,
    failed_at: Instant,
    made: u64,
}

/// The encoders that failed lately. Bounded, as those of which nothing is heard go.
#[derive(Debug, Default)]
pub struct Troubles {
    failing: BTreeMap<(StreamKey, Codec), Trouble>,
}

/// Which codecs to offer.
#[derive(Debug, PartialEq, Eq)]
pub enum Advice {
    /// These; the others fail, and why. Empty when none does.
    Offer(Vec<Codec>, Vec<(StreamKey, Codec, String)>),
    /// None of them works, and none is about to be tried again: the first that fails, and when it is tried.
    Refuse {
        /// Stream.
        key: StreamKey,
        /// Why.
        message: String,
        /// How long until its next start.
        retry_in: Duration,
    },
}

impl Troubles {
    /// An encoder failed, after it had made so many pictures in all.
    pub fn failed(
        &mut self,
        now: Instant,
        key: StreamKey,
        codec: Codec,
        message: String,
        retry_in: Duration,
        made: u64,
    ) {
        self.failing.retain(|_, trouble| !trouble.lapsed(now));
        self.failing.insert((key, codec), Trouble { message, retry_at: now + retry_in, failed_at: now, made });
    }

    /// What is wrong with an encoder that has made so many pictures in all by now.
    pub fn of(&self, now: Instant, key: &StreamKey, codec: Codec, made: u64) -> Option<&Trouble> {
        let trouble = self.failing.get(&(key.clone(), codec))?;
        (made == trouble.made && !trouble.lapsed(now)).then_some(trouble)
    }

    /// The encoders that failed lately, those that work again included.
    pub fn lately(&self) -> impl Iterator<Item = &(StreamKey, Codec)> {
        self.failing.keys()
    }

    /// Whether anything at all is known to fail.
    pub fn is_empty(&self) -> bool {
        self.failing.is_empty()
    }

    /// Which of the codecs a session with these streams is to be offered: one that works rather than one that fails. Where all
    /// fail, all are offered as soon as one is due to be tried again, since only a viewer makes it be tried.
    pub fn advise(
        &self,
        now: Instant,
        streams: &[StreamKey],
        codecs: &[Codec],
        made: impl Fn(&StreamKey, Codec) -> u64,
    ) -> Advice {
        let found =
            |codec: Codec| streams.iter().find_map(|key| Some((key, self.of(now, key, codec, made(key, codec))?)));
        let (failing, working): (Vec<Codec>, Vec<Codec>) = codecs.iter().partition(|codec| found(**codec).is_some());
        let troubles = failing.iter().filter_map(|codec| found(*codec).map(|(key, trouble)| (key, *codec, trouble)));
        if working.is_empty() {
            let soonest = troubles.min_by_key(|(_, _, trouble)| trouble.retry_at);
            return match soonest {
                Some((key, _, trouble)) if trouble.retry_at > now => Advice::Refuse {
                    key: key.clone(),
                    message: trouble.message.clone(),
                    retry_in: trouble.retry_at - now,
                },
                _ => Advice::Offer(codecs.to_vec(), Vec::new()),
            };
        }
        let told = troubles.map(|(key, codec, trouble)| (key.clone(), codec, trouble.message.clone()));
        Advice::Offer(working, told.collect())
    }
}

impl Trouble {
    fn lapsed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.failed_at) >= LAPSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceId, StreamType};

    const BOTH: [Codec; 2] = [Codec::H264, Codec::VP8];

    fn key(stream: StreamType) -> StreamKey {
        StreamKey::new(DeviceId::new("1"), stream)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_encoder_fails_until_it_makes_a_picture_or_nothing_more_is_heard() {
        let (now, color) = (Instant::now(), key(StreamType::Color));
        let mut troubles = Troubles::default();
        assert!(troubles.is_empty());
        troubles.failed(now, color.clone(), Codec::H264, "no".into(), secs(2), 7);
        assert!(!troubles.is_empty());
        let of = |at, codec, made| troubles.of(at, &color, codec, made).map(|trouble| trouble.message.as_str());
        assert_eq!(of(now, Codec::H264, 7), Some("no"));
        assert_eq!(of(now, Codec::H264, 8), None, "a picture came");
        assert_eq!(of(now, Codec::VP8, 7), None);
        assert_eq!(of(now + secs(29), Codec::H264, 7), Some("no"));
        assert_eq!(of(now + secs(30), Codec::H264, 7), None, "nobody tried it since");
        assert_eq!(troubles.of(now, &key(StreamType::Depth), Codec::H264, 7), None);
        // What lapsed makes room.
        troubles.failed(now + secs(31), key(StreamType::Depth), Codec::VP8, "no".into(), secs(2), 0);
        assert_eq!(troubles.failing.len(), 1);
    }

    #[test]
    fn a_codec_that_works_is_offered_in_place_of_one_that_fails() {
        let (now, color, depth) = (Instant::now(), key(StreamType::Color), key(StreamType::Depth));
        let streams = [depth.clone(), color.clone()];
        let mut troubles = Troubles::default();
        let all = |troubles: &Troubles, at| troubles.advise(at, &streams, &BOTH, |_, _| 0);
        assert_eq!(all(&troubles, now), Advice::Offer(BOTH.to_vec(), vec![]));
        troubles.failed(now, color.clone(), Codec::H264, "no".into(), secs(2), 0);
        let told = vec![(color.clone(), Codec::H264, "no".to_owned())];
        assert_eq!(all(&troubles, now), Advice::Offer(vec![Codec::VP8], told));
        assert_eq!(troubles.advise(now, &streams[..1], &BOTH, |_, _| 0), Advice::Offer(BOTH.to_vec(), vec![]));
        let made = |key: &StreamKey, _: Codec| u64::from(*key == color);
        assert_eq!(troubles.advise(now, &streams, &BOTH, made), Advice::Offer(BOTH.to_vec(), vec![]));
        assert_eq!(all(&troubles, now + secs(30)), Advice::Offer(BOTH.to_vec(), vec![]));
    }

    #[test]
    fn an_offer_that_no_codec_can_serve_is_refused_until_one_is_tried_again() {
        let (now, color) = (Instant::now(), key(StreamType::Color));
        let mut troubles = Troubles::default();
        troubles.failed(now, color.clone(), Codec::H264, "h".into(), secs(8), 0);
        troubles.failed(now, color.clone(), Codec::VP8, "v".into(), secs(4), 0);
        let advice = |codecs: &[Codec], at| troubles.advise(at, std::slice::from_ref(&color), codecs, |_, _| 0);
        let refuse = |message: &str, retry_in| Advice::Refuse { key: color.clone(), message: message.into(), retry_in };
        assert_eq!(advice(&BOTH, now), refuse("v", secs(4)));
        assert_eq!(advice(&[Codec::H264], now + secs(5)), refuse("h", secs(3)));
        assert_eq!(advice(&BOTH, now + secs(4)), Advice::Offer(BOTH.to_vec(), vec![]));
    }
}
