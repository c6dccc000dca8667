//! What may wait for a thread that acts on one message at a time, and what happens to the next message when much waits.
//! Owns the order and the bounds; knows no thread, no lock and no message.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// How a message is treated while others wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy<K> {
    /// On behalf of a request, whose sender can be told no: refused while [`MAX_ASKED`] of them wait.
    Asked,
    /// Must not be lost, and there are only as many as there are things it tells of.
    Kept,
    /// Says that something changed, which the reader then looks at: superfluous while one with the same key waits.
    Once(K),
    /// Carries the newest state: takes the place of one with the same key that waits.
    Newest(K),
    /// At most so many with the same key wait; what is more is refused.
    AtMost(usize, K),
}

/// Messages of [`Policy::Asked`] that may wait. A turn takes milliseconds, so this many mean a flood or a thread that hangs.
pub const MAX_ASKED: usize = 256;
/// Messages of all kinds that may wait. The other policies keep far below it; more would endanger the machine's memory, so
/// everything is refused and [`Mailbox::is_overrun`] says so.
pub const MAX_WAITING: usize = 100_000;

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Posted<T> {
    /// It waits for its turn.
    Waits,
    /// It waits, and this one that it replaced does not any more; or this one is superfluous.
    Instead(T),
    /// There is no room for it.
    Refused(T),
}

/// The messages that wait, in the order they came.
#[derive(Debug)]
pub struct Mailbox<T, K> {
    /// Messages by their number; a replaced one keeps its turn.
    waiting: VecDeque<(T, Policy<K>)>,
    /// How many wait with each key.
    keys: HashMap<K, usize>,
    asked: usize,
    overrun: bool,
}

impl<T, K> Default for Mailbox<T, K> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), keys: HashMap::new(), asked: 0, overrun: false }
    }
}

impl<T, K: Eq + Hash + Clone> Mailbox<T, K> {
    /// Takes a message, or gives it back.
    pub fn post(&mut self, message: T, policy: Policy<K>) -> Posted<T> {
        if self.waiting.len() >= MAX_WAITING {
            self.overrun = true;
            return Posted::Refused(message);
        }
        let same = |keys: &HashMap<K, usize>, key: &K| keys.get(key).copied().unwrap_or(0);
        match &policy {
            Policy::Asked if self.asked >= MAX_ASKED => return Posted::Refused(message),
            Policy::AtMost(most, key) if same(&self.keys, key) >= *most => return Posted::Refused(message),
            Policy::Once(key) if same(&self.keys, key) > 0 => return Posted::Instead(message),
            Policy::Newest(key) if same(&self.keys, key) > 0 => {
                if let Some((waiting, _)) = self.waiting.iter_mut().find(|(_, other)| *other == policy) {
                    return Posted::Instead(std::mem::replace(waiting, message));
                }
            }
            _ => {}
        }
        match &policy {
            Policy::Asked => self.asked += 1,
            Policy::Kept => {}
            Policy::Once(key) | Policy::Newest(key) | Policy::AtMost(_, key) => {
                *self.keys.entry(key.clone()).or_default() += 1;
            }
        }
        self.waiting.push_back((message, policy));
        Posted::Waits
    }

    /// The message whose turn it is.
    pub fn take(&mut self) -> Option<T> {
        let (message, policy) = self.waiting.pop_front()?;
        match policy {
            Policy::Asked => self.asked -= 1,
            Policy::Kept => {}
            Policy::Once(key) | Policy::Newest(key) | Policy::AtMost(_, key) => {
                if let Some(count) = self.keys.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.keys.remove(&key);
                    }
                }
            }
        }
        Some(message)
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a message on behalf of a request would be refused.
    pub fn is_busy(&self) -> bool {
        self.asked >= MAX_ASKED || self.waiting.len() >= MAX_WAITING
    }

    /// Whether a message was refused because [`MAX_WAITING`] wait: something that must not be lost may be lost by now.
    pub fn is_overrun(&self) -> bool {
        self.overrun
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(mailbox: &mut Mailbox<u32, u8>) -> Vec<u32> {
        std::iter::from_fn(|| mailbox.take()).collect()
    }

    #[test]
    fn requests_are_refused_when_many_wait_and_what_must_not_be_lost_is_not() {
        let mut mailbox = Mailbox::<u32, u8>::default();
        for number in 0..256 {
            assert_eq!(mailbox.post(number, Policy::Asked), Posted::Waits);
        }
        assert!(mailbox.is_busy() && !mailbox.is_overrun());
        assert_eq!(mailbox.post(1000, Policy::Asked), Posted::Refused(1000));
        assert_eq!(mailbox.post(2000, Policy::Kept), Posted::Waits);
        assert_eq!(mailbox.take(), Some(0));
        assert!(!mailbox.is_busy());
        assert_eq!(mailbox.post(256, Policy::Asked), Posted::Waits, "one went, one may come");
        let order: Vec<u32> = (1..256).chain([2000, 256]).collect();
        assert_eq!(drain(&mut mailbox), order);
        assert!(mailbox.is_empty() && !mailbox.is_busy());
    }

    #[test]
    fn what_says_the_same_waits_once_and_the_newest_state_replaces_an_older_one() {
        let mut mailbox = Mailbox::<u32, u8>::default();
        assert_eq!(mailbox.post(1, Policy::Once(7)), Posted::Waits);
        assert_eq!(mailbox.post(2, Policy::Once(7)), Posted::Instead(2));
        assert_eq!(mailbox.post(3, Policy::Once(8)), Posted::Waits);
        assert_eq!(mailbox.post(4, Policy::Newest(9)), Posted::Waits);
        assert_eq!(mailbox.post(5, Policy::Kept), Posted::Waits);
        assert_eq!(mailbox.post(6, Policy::Newest(9)), Posted::Instead(4));
        assert_eq!(mailbox.post(7, Policy::AtMost(2, 1)), Posted::Waits);
        assert_eq!(mailbox.post(8, Policy::AtMost(2, 1)), Posted::Waits);
        assert_eq!(mailbox.post(9, Policy::AtMost(2, 1)), Posted::Refused(9));
        assert_eq!(drain(&mut mailbox), [1, 3, 6, 5, 7, 8]);
        assert_eq!(mailbox.post(10, Policy::Once(7)), Posted::Waits, "it was told; this is news again");
    }

    #[test]
    fn nothing_is_without_a_bound() {
        let mut mailbox = Mailbox::<u32, u8>::default();
        for _ in 0..MAX_WAITING {
            assert_eq!(mailbox.post(0, Policy::Kept), Posted::Waits);
        }
        assert!(mailbox.is_busy() && !mailbox.is_overrun());
        assert_eq!(mailbox.post(1, Policy::Kept), Posted::Refused(1));
        assert_eq!(mailbox.len(), MAX_WAITING);
        assert!(mailbox.take().is_some() && mailbox.is_overrun(), "what was lost stays lost");
    }

    proptest! {
        #[test]
        fn counts_agree_with_what_waits(steps in prop::collection::vec((0u8..6, 0u8..4), 0..600)) {
            let mut mailbox = Mailbox::<u32, u8>::default();
            let (mut posted, mut taken, mut given_back) = (0usize, 0usize, 0usize);
            for (number, (what, key)) in steps.into_iter().enumerate() {
                let policy = match what {
                    0 => Policy::Asked,
                    1 => Policy::Kept,
                    2 => Policy::Once(key),
                    3 => Policy::Newest(key),
                    4 => Policy::AtMost(3, key),
                    _ => {
                        taken += usize::from(mailbox.take().is_some());
                        continue;
                    }
                };
                posted += 1;
                given_back += usize::from(mailbox.post(number as u32, policy) != Posted::Waits);
                prop_assert_eq!(mailbox.len(), posted - taken - given_back);
            }
            let left = mailbox.len();
            prop_assert_eq!(drain(&mut mailbox).len(), left);
            prop_assert!(mailbox.keys.is_empty() && mailbox.asked == 0);
        }
    }
}
