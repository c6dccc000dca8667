//! The server's own source files with loom's locks and atomics in place of the standard library's, and what must hold in them
//! whatever the order in which threads meet.

#![cfg(loom)]
#![allow(dead_code, unreachable_pub, reason = "the files are the server's, of which a model uses a part")]

mod sync;

#[path = "../../../src/media/gst/encode/epochs.rs"]
mod epochs;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loom::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::{
        epochs::{Entry, Epochs},
        sync::slot::{Slot, Taken},
    };

    /// Longer than any model runs; loom knows no time.
    const EVER: Duration = Duration::from_secs(3600);

    #[test]
    fn no_wake_up_is_lost_and_the_last_value_is_seen() {
        loom::model(|| {
            let slot = Arc::new(Slot::default());
            let puts = slot.clone();
            let camera = thread::spawn(move || {
                puts.put(1);
                puts.put(2);
            });
            let mut seen = vec![];
            while seen.last() != Some(&2) {
                match slot.take(EVER) {
                    Taken::Value(value) => seen.push(value),
                    other => panic!("{other:?}"),
                }
            }
            assert!(seen == [2] || seen == [1, 2], "{seen:?}");
            assert_eq!(slot.replaced() as usize, 2 - seen.len());
            camera.join().expect("no panic");
        });
    }

    #[test]
    fn a_close_ends_the_wait_whatever_else_happens() {
        loom::model(|| {
            let slot = Arc::new(Slot::default());
            let (puts, closes) = (slot.clone(), slot.clone());
            let camera = thread::spawn(move || {
                puts.put(1);
            });
            let owner = thread::spawn(move || closes.close());
            while slot.take(EVER) != Taken::Closed {}
            camera.join().expect("no panic");
            owner.join().expect("no panic");
        });
    }

    /// A gate's decisions as `gate.rs` makes them, without its queue: what passed, as (encoder, is a key frame).
    fn deliver(epochs: &Epochs, passed: &Mutex<Vec<(u64, bool)>>, epoch: u64, is_key: bool) {
        let Entry::Alone(alone) = epochs.enter(epoch) else { return };
        alone.shut_if_broken(is_key);
        if !alone.is_open() {
            if !is_key {
                return;
            }
            alone.open();
        }
        passed.lock().expect("no panic").push((epoch, is_key));
    }

    #[test]
    fn nothing_of_an_old_encoder_comes_behind_a_new_one_and_each_begins_with_a_key_frame() {
        loom::model(|| {
            let epochs = Arc::new(Epochs::new());
            let passed = Arc::new(Mutex::new(vec![]));
            let first = epochs.restart();
            let old = {
                let (epochs, passed) = (epochs.clone(), passed.clone());
                thread::spawn(move || {
                    for is_key in [true, false] {
                        deliver(&epochs, &passed, first, is_key);
                    }
                })
            };
            let second = epochs.restart();
            for is_key in [true, false, true] {
                deliver(&epochs, &passed, second, is_key);
            }
            old.join().expect("no panic");
            let passed = passed.lock().expect("no panic").clone();
            let begins = passed.iter().position(|(epoch, _)| *epoch == second);
            if let Some(begins) = begins {
                assert!(passed[begins..].iter().all(|(epoch, _)| *epoch == second), "mixed: {passed:?}");
                assert!(passed[begins].1, "the new one must begin with a key frame: {passed:?}");
            }
            assert!(passed.first().is_none_or(|(_, is_key)| *is_key), "{passed:?}");
        });
    }

    /// Units are numbered; a delta unit decodes only if the one before it passed.
    #[test]
    fn behind_a_lost_unit_comes_a_key_frame() {
        loom::model(|| {
            let epochs = Arc::new(Epochs::new());
            let first = epochs.restart();
            let old = {
                let epochs = epochs.clone();
                thread::spawn(move || drop(epochs.enter(first)))
            };
            let second = epochs.restart();
            let mut before = None;
            for (number, is_key) in [(0, true), (1, false), (2, false), (3, true)] {
                let Entry::Alone(alone) = epochs.enter(second) else { continue };
                alone.shut_if_broken(is_key);
                if !alone.is_open() {
                    if !is_key {
                        continue;
                    }
                    alone.open();
                }
                assert!(is_key || before == Some(number - 1), "{number} would not decode behind {before:?}");
                before = Some(number);
            }
            old.join().expect("no panic");
        });
    }
}
