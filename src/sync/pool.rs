//! Buffers that are used again, so that a picture costs no allocation. Owns those that nobody uses now.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{Mutex, lock};

/// Buffers that wait for their next use, at most as many as it was made for; cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool {
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
    most: usize,
}

/// A buffer that goes back to its pool when its last user drops it.
pub(crate) struct Pooled {
    bytes: Vec<u8>,
    pool: Pool,
}

impl Pool {
    /// A pool that keeps at most so many buffers that nobody uses.
    pub(crate) fn new(most: usize) -> Self {
        Self { idle: Arc::default(), most }
    }

    /// A buffer as its last user left it, or an empty one.
    pub(crate) fn take(&self) -> Pooled {
        Pooled { bytes: lock(&self.idle).pop().unwrap_or_default(), pool: self.clone() }
    }
}

impl Deref for Pooled {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut idle = lock(&self.pool.idle);
        if idle.len() < self.pool.most {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_no_more_are_kept_than_wanted() {
        let pool = Pool::new(2);
        let mut first = pool.take();
        assert!(first.is_empty());
        first.resize(100, 7);
        let memory = first.as_ptr();
        drop(first);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.as_ref()), (memory, &[7; 100][..]));
        drop([again, pool.take(), pool.take(), pool.take()]);
        assert_eq!(lock(&pool.idle).len(), 2);
    }
}
