//! Where a part posts what it has to tell. Knows neither the messages of the others nor who reads them.

use std::sync::Arc;

use crate::error::Error;

/// Takes what a part has to tell, in the part's own words; cheap to clone. Never waits.
pub(super) struct Port<T>(Arc<Post<T>>);

type Post<T> = dyn Fn(T) -> Result<(), Box<T>> + Send + Sync;

impl<T> Clone for Port<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Port<T> {
    /// A port that hands on what it is given by `post`, which gives back what is refused.
    pub(super) fn new(post: impl Fn(T) -> Result<(), Box<T>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(post))
    }

    /// Posts something.
    ///
    /// # Errors
    /// What was given, when it is refused: too much waits, or nobody reads any more.
    pub(super) fn send(&self, what: T) -> Result<(), Box<T>> {
        (self.0)(what)
    }

    /// Posts what nobody misses when it is refused.
    pub(super) fn tell(&self, what: T) {
        let _ = self.send(what);
    }
}

/// What is said when something is refused.
pub(super) fn busy() -> Error {
    Error::unavailable(
        "The media side is too busy for this now; try again in a moment. If it lasts, /api/health and the server's log say \
         more.",
    )
}
