//! How the newest sessions ended, for clients that ask what became of theirs. Owns a bounded memory of ids and reasons; knows
//! no session that lives.

use std::collections::VecDeque;

use crate::{
    error::{Error, Result},
    model::SessionId,
};

/// Most ends kept, about 20 kB. A page asks within seconds of its session's end, so only a flood of sessions pushes out
/// what somebody still asks for.
pub const KEPT: usize = 256;

/// The memory, oldest first.
#[derive(Debug, Default)]
pub struct Ended {
    ends: VecDeque<(SessionId, &'static str)>,
}

impl Ended {
    /// Remembers an end. `reason` is one word; whatever more the log says of it is not for everybody who knows the id.
    pub fn add(&mut self, session: SessionId, reason: &'static str) {
        if self.ends.len() >= KEPT {
            self.ends.pop_front();
        }
        self.ends.push_back((session, reason));
    }

    /// What is known of a session that is no more.
    ///
    /// # Errors
    /// NotFound, always: with the reason where this session ended lately, without where it was never known.
    pub fn tell<T>(&self, session: &SessionId) -> Result<T> {
        Err(match self.ends.iter().rev().find(|(id, _)| id == session) {
            Some((_, reason)) => {
                let words = reason.replace('_', " ");
                Error::not_found(format!("Session {session} has ended ({words}). Ask for a new offer."))
                    .with_reason(reason)
            }
            None => Error::unknown_session(session),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_a_session_ended_as_long_as_it_is_among_the_newest() {
        let mut ended = Ended::default();
        let first = SessionId::new("first");
        let before = ended.tell::<()>(&first).unwrap_err();
        assert_eq!((before.reason(), before.public()), (None, Error::unknown_session(&first).public()));
        ended.add(first.clone(), "peer_silent");
        for n in 1..KEPT {
            ended.add(SessionId::new(n.to_string()), "closed_by_request");
        }
        let kept = ended.tell::<()>(&first).unwrap_err();
        assert_eq!(kept.reason(), Some("peer_silent"));
        assert!(kept.public().contains("has ended (peer silent)"), "{kept}");
        ended.add(SessionId::new("one more"), "idle");
        assert_eq!(ended.tell::<()>(&first).unwrap_err().reason(), None);
        assert_eq!(ended.ends.len(), KEPT);
    }
}
