//! The bridge from GStreamer's debug log to ours. Owns GStreamer's log function, its rate limit, and the table that tells
//! whose an object is. The log function runs in whatever thread GStreamer logs from, with whatever locks that holds: it
//! takes no lock of GStreamer's, waits for nothing and never logs through GStreamer.

#![allow(unsafe_code, reason = "reads an object's parent pointer without its lock; says why that is sound")]

use std::{
    cell::Cell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gst::{
    glib::{self, translate::IntoGlib},
    log::{DebugCategory, DebugMessage, LoggedObject},
    prelude::*,
};
use tracing::{Level, field::display};

use super::{layer::SHORT_ID, levels::TARGET};
use crate::{
    core::text::log_thresholds::GstThresholds,
    model::StreamType,
    sync::{RwLock, lock_read, lock_write},
};

/// Messages a second that are let through, of warnings and errors, and of the rest. At `*:5` one stream alone makes some
/// thousands; formatting them all would take the time that video needs.
const WARNINGS_PER_S: u64 = 500;
const OTHERS_PER_S: u64 = 1500;
/// Most bytes of a message; caps and structures can be long.
const MESSAGE_BYTES: usize = 1000;
/// What is kept of each second's count; 2^24 messages a second is more than there can be.
const COUNT_BITS: u32 = 24;

static LOST: AtomicU64 = AtomicU64::new(0);
static WARNINGS: Limit = Limit::new(WARNINGS_PER_S);
static OTHERS: Limit = Limit::new(OTHERS_PER_S);
static OWNERS: LazyLock<RwLock<HashMap<usize, Arc<Owner>>>> = LazyLock::new(RwLock::default);

/// Messages dropped since the start because there were too many.
pub fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// Sends GStreamer's messages to our log from now on, and sets its thresholds; `present` are those that it has already.
pub(super) fn bridge(present: &GstThresholds, thresholds: &GstThresholds) {
    // A log that GStreamer writes to a file is the owner's wish and goes on beside ours.
    if std::env::var_os("GST_DEBUG_FILE").is_none() {
        gst::log::remove_default_log_function();
    }
    gst::log::add_log_function(log);
    change_thresholds(present, thresholds);
}

/// Replaces thresholds. GStreamer keeps every pattern that was ever set, so the old ones are taken back by name.
pub(super) fn change_thresholds(old: &GstThresholds, new: &GstThresholds) {
    for (pattern, _) in &old.patterns {
        gst::log::unset_threshold_for_name(pattern);
    }
    gst::log::set_default_threshold(level_of(new.default));
    for (pattern, level) in &new.patterns {
        gst::log::set_threshold_for_name(pattern, level_of(*level));
    }
}

fn level_of(number: u8) -> gst::DebugLevel {
    match number {
        0 => gst::DebugLevel::None,
        1 => gst::DebugLevel::Error,
        2 => gst::DebugLevel::Warning,
        3 => gst::DebugLevel::Fixme,
        4 => gst::DebugLevel::Info,
        5 => gst::DebugLevel::Debug,
        6 => gst::DebugLevel::Log,
        7 | 8 => gst::DebugLevel::Trace,
        _ => gst::DebugLevel::Memdump,
    }
}

/// Whether this thread is in the log function. It has a destructor, so that a thread that ends and whose own storage is
/// gone already (GLib's thread-local destructors may log) is told apart: our log could not be used there.
struct Inside(Cell<bool>);

impl Drop for Inside {
    fn drop(&mut self) {}
}

thread_local! {
    static INSIDE: Inside = const { Inside(Cell::new(false)) };
}

/// The log function.
fn log(
    category: DebugCategory,
    level: gst::DebugLevel,
    file: &glib::GStr,
    function: &glib::GStr,
    line: u32,
    object: Option<&LoggedObject>,
    message: &DebugMessage,
) {
    // Formatting a message may log again (a structure that cannot be printed says so), and then end up here.
    let entered = INSIDE.try_with(|inside| !inside.0.replace(true));
    if !entered.unwrap_or(false) {
        LOST.fetch_add(1, Relaxed);
        return;
    }
    // A panic must not reach C.
    let _ = catch_unwind(AssertUnwindSafe(|| forward(category, level, file, function, line, object, message)));
    let _ = INSIDE.try_with(|inside| inside.0.set(false));
}

fn forward(
    category: DebugCategory,
    level: gst::DebugLevel,
    file: &glib::GStr,
    function: &glib::GStr,
    line: u32,
    object: Option<&LoggedObject>,
    message: &DebugMessage,
) {
    let severe = level <= gst::DebugLevel::Warning;
    let limit = if severe { &WARNINGS } else { &OTHERS };
    // Before the message is formatted, which is what it costs.
    let dropped = match limit.pass() {
        Pass::No => return,
        Pass::Yes => 0,
        Pass::After(dropped) => dropped,
    };
    if dropped > 0 {
        tracing::warn!(
            parent: None, dropped,
            "GStreamer logs more than is let through; raise fewer thresholds at once"
        );
    }
    let owner = object.and_then(|object| owner_of(object.as_ptr().cast()));
    let session = owner.as_deref().and_then(|owner| owner.session.as_deref());
    let stream = owner.as_deref().and_then(|owner| owner.stream.as_deref()).map(display);
    // Both are what GStreamer's own log function uses: they read names as they are, without the object's lock.
    let element = message.id().map(|id| display(id.as_str()));
    let text = message.get();
    let text = text.as_deref().map_or("", |text| cut(text.as_str()));
    let ordinary = is_ordinary(category.name(), text);
    let (category, function) = (display(category.name()), display(function.as_str()));
    let at = display(format_args!("{}:{line}", base_name(file.as_str())).to_string());
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(
                target: TARGET, parent: None, $level, category, element, session, stream, function, at, "{text}"
            )
        };
    }
    match level {
        _ if ordinary => emit!(Level::DEBUG),
        gst::DebugLevel::Error => emit!(Level::ERROR),
        gst::DebugLevel::Warning => emit!(Level::WARN),
        gst::DebugLevel::Fixme | gst::DebugLevel::Info => emit!(Level::INFO),
        gst::DebugLevel::Debug | gst::DebugLevel::Log => emit!(Level::DEBUG),
        _ => emit!(Level::TRACE),
    }
}

/// Messages that GStreamer takes for errors and that are part of every day here: the category, and how they begin.
const ORDINARY: &[(&str, &str)] = &[
    // The peer's own good-bye came first, in the moment in which ours was sent.
    ("dtlsenc", "Failed to send close_notify"),
    // What was still on its way on the data channel of a viewer that left.
    ("sctpassociation", "Event: SCTP_SEND_FAILED_EVENT"),
];

fn is_ordinary(category: &str, text: &str) -> bool {
    ORDINARY.iter().any(|(of, begins)| *of == category && text.starts_with(begins))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES)]
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a message may pass.
#[derive(Debug, PartialEq, Eq)]
enum Pass {
    No,
    Yes,
    /// It may, as the first of its second; in an earlier one so many were dropped.
    After(u64),
}

/// Lets so many pass in each second.
struct Limit {
    most: u64,
    /// The second, counted from the start, and above it how many came in it.
    window: AtomicU64,
}

impl Limit {
    const fn new(most: u64) -> Self {
        Self { most, window: AtomicU64::new(0) }
    }

    fn pass(&self) -> Pass {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.pass_at(START.elapsed())
    }

    fn pass_at(&self, now: Duration) -> Pass {
        let second = now.as_secs();
        let before = self.window.load(Relaxed);
        if before >> COUNT_BITS != second {
            // One thread begins the new second; the others count in it.
            if self.window.compare_exchange(before, (second << COUNT_BITS) | 1, Relaxed, Relaxed).is_ok() {
                let came = before & ((1 << COUNT_BITS) - 1);
                let dropped = came.saturating_sub(self.most);
                return if dropped > 0 { Pass::After(dropped) } else { Pass::Yes };
            }
        }
        let came = (self.window.fetch_add(1, Relaxed) & ((1 << COUNT_BITS) - 1)) + 1;
        if came <= self.most {
            return Pass::Yes;
        }
        LOST.fetch_add(1, Relaxed);
        Pass::No
    }
}

/// Whose a pipeline is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Owner {
    session: Option<String>,
    /// `DEVICE/STREAM`.
    stream: Option<String>,
}

impl Owner {
    /// Reads a pipeline's name: `session-ID` or `encoder-DEVICE-STREAM-CODEC-SERIAL`.
    fn of(name: &str) -> Option<Self> {
        if let Some(id) = name.strip_prefix("session-") {
            return Some(Self { session: Some(id.get(..SHORT_ID).unwrap_or(id).to_owned()), ..Self::default() });
        }
        let (rest, _serial) = name.strip_prefix("encoder-")?.rsplit_once('-')?;
        let (rest, _codec) = rest.rsplit_once('-')?;
        // A stream's name may hold a dash, and so may a serial number; no stream's name ends another's.
        let dashes = rest.match_indices('-').map(|(at, _)| at);
        let (device, stream) = dashes
            .map(|at| (&rest[..at], &rest[at + 1..]))
            .find(|(_, stream)| StreamType::parse_video(stream).is_ok_and(|parsed| parsed.to_string() == *stream))?;
        Some(Self { stream: Some(format!("{device}/{stream}")), ..Self::default() })
    }
}

/// Attributes what a pipeline and its elements log, those it has and those that come, to the session or the stream that its
/// name says.
///
/// GStreamer may log about an object while it holds that object's lock, and getting an object's parent or name takes that
/// lock, so the log function cannot ask. It looks the object up in a table instead, by its address. An address that is out
/// of date could only put a line into the wrong ring; nothing is read through it.
pub fn attribute(pipeline: &gst::Pipeline) {
    let Some(owner) = Owner::of(&pipeline.name()).map(Arc::new) else { return };
    let adding = owner.clone();
    pipeline.connect_deep_element_added(move |_, _, element| add(address(element), &adding));
    pipeline.connect_deep_element_removed(|_, _, element| {
        owners_mut(|owners| drop(owners.remove(&address(element))));
    });
    add(address(pipeline), &owner);
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        add(address(&element), &owner);
    }
    pipeline.add_weak_ref_notify(move || owners_mut(|owners| owners.retain(|_, other| !Arc::ptr_eq(other, &owner))));
}

fn address(object: &impl IsA<gst::Object>) -> usize {
    object.as_ref().as_ptr() as usize
}

fn add(address: usize, owner: &Arc<Owner>) {
    owners_mut(|owners| drop(owners.insert(address, owner.clone())));
}

/// Changes the table. What is done under its lock calls nothing of GStreamer's: the log function waits for it.
fn owners_mut(change: impl FnOnce(&mut HashMap<usize, Arc<Owner>>)) {
    change(&mut lock_write(&OWNERS));
}

/// Whose an object is: by itself, or by its parent for a pad or another part of an element.
fn owner_of(object: *const glib::gobject_ffi::GObject) -> Option<Arc<Owner>> {
    if object.is_null() {
        return None;
    }
    let find = |address: usize| lock_read(&OWNERS).get(&address).cloned();
    find(object as usize).or_else(|| find(parent_address(object)?))
}

/// The address of an object's parent, read without the object's lock and never followed.
fn parent_address(object: *const glib::gobject_ffi::GObject) -> Option<usize> {
    let instance = object.cast_mut().cast::<glib::gobject_ffi::GTypeInstance>();
    // SAFETY: the code that logs about an object keeps it alive for the call. The check reads the object's class, which does not
    // change, and takes no lock.
    let is_gst =
        unsafe { glib::gobject_ffi::g_type_check_instance_is_a(instance, gst::Object::static_type().into_glib()) };
    if is_gst == glib::ffi::GFALSE {
        return None;
    }
    let object = object.cast::<gst::ffi::GstObject>();
    // SAFETY: it is a live GstObject (above). Its parent may change meanwhile, which is why the address is read in one
    // access and only compared. GStreamer's own log function reads it likewise, without the lock, to print a pad's name
    // (`_heap_pad_name` in gst/gstinfo.c, 1.22).
    let parent = unsafe { (&raw const (*object).parent).read_volatile() };
    (!parent.is_null()).then_some(parent as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(object: &impl IsA<gst::Object>) -> Option<Arc<Owner>> {
        owner_of(object.as_ref().as_ptr().cast())
    }

    #[test]
    fn a_pipelines_name_says_whose_it_is() {
        let stream = |name: &str| Owner::of(name).and_then(|owner| owner.stream);
        assert_eq!(stream("encoder-844212070924-color-h264-3").as_deref(), Some("844212070924/color"));
        assert_eq!(stream("encoder-844212070924-infrared-2-vp8-17").as_deref(), Some("844212070924/infrared-2"));
        assert_eq!(stream("encoder-a-b-infrared-1-h264-17").as_deref(), Some("a-b/infrared-1"));
        let session = Owner::of("session-5f0c1f3a").and_then(|owner| owner.session);
        assert_eq!(session.as_deref(), Some("5f0c1f3a"));
        for other in ["pipeline0", "encoder-color", "encoder-1-sound-h264-1", "encoder", "warm-up"] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
    }

    #[test]
    fn an_element_is_its_pipelines_as_long_as_it_is_in_it() {
        gst::init().expect("GStreamer");
        let pipeline = gst::Pipeline::builder().name("encoder-8442-color-h264-9").build();
        let early = gst::ElementFactory::make("identity").build().expect("identity");
        pipeline.add(&early).expect("room");
        attribute(&pipeline);
        let bin = gst::Bin::new();
        let nested = gst::ElementFactory::make("identity").build().expect("identity");
        bin.add(&nested).expect("room");
        assert_eq!(owner(&nested), None);
        pipeline.add(&bin).expect("room");
        let late = gst::ElementFactory::make("identity").build().expect("identity");
        bin.add(&late).expect("room");
        let expected = Some(Arc::new(Owner { stream: Some("8442/color".into()), session: None }));
        for object in [early.upcast_ref::<gst::Object>(), nested.upcast_ref(), late.upcast_ref(), pipeline.upcast_ref()]
        {
            assert_eq!(owner(object), expected, "{}", object.name());
        }
        assert_eq!(owner(&early.static_pad("sink").expect("a pad")), expected);
        bin.remove(&late).expect("it is in there");
        assert_eq!(owner(&late), None);
        let clock = gst::SystemClock::obtain();
        assert_eq!(owner(&clock), None);
        // Elements that outlive their pipeline are nobody's.
        drop(pipeline);
        assert_eq!((owner(&early), owner(&nested)), (None, None));
    }

    #[test]
    fn so_many_pass_a_second_and_the_rest_is_counted() {
        let limit = Limit::new(3);
        let at = Duration::from_millis;
        let passed = (0..10).filter(|_| limit.pass_at(at(5000)) != Pass::No).count();
        assert_eq!(passed, 3);
        assert_eq!(limit.pass_at(at(5999)), Pass::No);
        assert_eq!(limit.pass_at(at(6000)), Pass::After(8));
        assert_eq!(limit.pass_at(at(6001)), Pass::Yes);
        assert_eq!(limit.pass_at(at(9000)), Pass::Yes);
    }
}
