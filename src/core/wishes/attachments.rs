//! Which attachment of a device counts, as its news tell it. Owns the rule that nothing of an earlier attachment, and nothing
//! after an attachment's end, changes anything; knows no streams and no cameras.

use crate::model::Attachment;

/// What is known of a device's attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    latest: Option<Attachment>,
    ended: bool,
}

impl Presence {
    /// Takes news of an attachment. False when they are of an earlier one, or come after its end: they are to be dropped.
    #[must_use]
    pub fn admits(&mut self, of: Attachment) -> bool {
        if self.latest.is_none_or(|latest| of > latest) {
            *self = Self { latest: Some(of), ended: false };
        }
        self.latest == Some(of) && !self.ended
    }

    /// The attachment ended. False when that is known, or a later one has begun: then nothing changes.
    #[must_use]
    pub fn end(&mut self, of: Attachment) -> bool {
        let counts = self.admits(of);
        self.ended |= counts;
        counts
    }

    /// The attachment that lasts.
    pub fn current(&self) -> Option<Attachment> {
        self.latest.filter(|_| !self.ended)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn news_of_an_earlier_attachment_count_no_more() {
        let (first, second) = (Attachment::next(), Attachment::next());
        let mut presence = Presence::default();
        assert_eq!(presence.current(), None);
        assert!(presence.admits(first) && presence.admits(first));
        assert!(presence.admits(second));
        assert!(!presence.admits(first) && !presence.end(first), "the end of the first comes late");
        assert_eq!(presence.current(), Some(second));
    }

    #[test]
    fn the_end_is_an_attachments_last_word() {
        let (first, second) = (Attachment::next(), Attachment::next());
        let mut presence = Presence::default();
        assert!(presence.admits(first) && presence.end(first));
        assert!(!presence.admits(first) && !presence.end(first));
        assert_eq!(presence.current(), None);
        assert!(presence.admits(second));
        assert_eq!(presence.current(), Some(second));
    }

    proptest! {
        /// However the news are mixed up, the latest attachment decides, and an end is never taken back.
        #[test]
        fn the_latest_attachment_decides(news in prop::collection::vec((0..6usize, any::<bool>()), 1..40)) {
            let attachments: Vec<_> = (0..6).map(|_| Attachment::next()).collect();
            let mut presence = Presence::default();
            for (index, ends) in &news {
                let of = attachments[*index];
                let _ = if *ends { presence.end(of) } else { presence.admits(of) };
            }
            let latest = news.iter().map(|(index, _)| *index).max().unwrap();
            let ended = news.contains(&(latest, true));
            prop_assert_eq!(presence.current(), Some(attachments[latest]).filter(|_| !ended));
        }
    }
}
