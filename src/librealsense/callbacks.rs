//! The table that stands between the SDK's callbacks and ours. The SDK is given an entry's number as its `user` argument; an
//! entry that was taken out is simply not found, so no callback can reach what is gone.

use std::{
    collections::HashMap,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use realsense_sys::{rs2_device_list, rs2_frame};

use super::{Owned, SdkFrame, library};
use crate::sync::{RwLock, lock_read, lock_write};

/// What a callback is told.
pub(super) type FrameFn = Arc<dyn Fn(SdkFrame) + Send + Sync>;
type Devices = Owned<rs2_device_list>;
type ChangeFn = Arc<dyn Fn(Devices, Devices) + Send + Sync>;

#[derive(Clone)]
enum Entry {
    Frame(FrameFn),
    Change(ChangeFn),
}

static TABLE: LazyLock<RwLock<HashMap<usize, Entry>>> = LazyLock::new(RwLock::default);
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// An entry of the table; taken out when dropped.
pub(super) struct Registration(usize);

impl Registration {
    pub(super) fn frames(callback: FrameFn) -> Self {
        Self::add(Entry::Frame(callback))
    }

    pub(super) fn changes(callback: ChangeFn) -> Self {
        Self::add(Entry::Change(callback))
    }

    fn add(entry: Entry) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        lock_write(&TABLE).insert(number, entry);
        Self(number)
    }

    /// What the SDK is given: a number in the shape of a pointer, never followed.
    pub(super) fn user(&self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.0)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock_write(&TABLE).remove(&self.0);
    }
}

fn find(user: *mut c_void) -> Option<Entry> {
    lock_read(&TABLE).get(&user.addr()).cloned()
}

/// Called by the SDK for each frame of a started sensor.
pub(super) unsafe extern "C" fn on_frame(raw: *mut rs2_frame, user: *mut c_void) {
    // A panic must not unwind into C++.
    let done = catch_unwind(AssertUnwindSafe(|| {
        let Some(api) = library::loaded() else { return };
        // SAFETY: the callback owns the frame that it is given; it is released when this is dropped, entry or not.
        let Ok(frame) = (unsafe { SdkFrame::from_raw(api, raw) }) else { return };
        if let Some(Entry::Frame(callback)) = find(user) {
            callback(frame);
        }
    }));
    if done.is_err() {
        tracing::error!("a frame was lost: its handler panicked");
    }
}

/// Called by the SDK when devices come or go.
pub(super) unsafe extern "C" fn on_change(
    removed: *mut rs2_device_list,
    added: *mut rs2_device_list,
    user: *mut c_void,
) {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let Some(api) = library::loaded() else { return };
        let list = |raw| Owned::new(api, raw, api.rs2_delete_device_list, "devices changed");
        // The callback owns both lists.
        let (Ok(removed), Ok(added)) = (list(removed), list(added)) else { return };
        if let Some(Entry::Change(callback)) = find(user) {
            callback(removed, added);
        }
    }));
    if done.is_err() {
        tracing::error!("a change of the devices was lost: its handler panicked");
    }
}
