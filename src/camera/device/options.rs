//! Tells which options of an open device changed, while somebody wants to hear of it.

use std::{sync::atomic::Ordering, time::Instant};

use super::Open;
use crate::camera::events::DeviceNews;

impl Open<'_> {
    /// Whether somebody wants to hear of changes.
    pub(super) fn is_watched(&self) -> bool {
        self.thread.watched.load(Ordering::Relaxed)
    }

    /// Reads the options when it is time, and tells what changed.
    pub(super) fn watch_options(&mut self) {
        if !self.is_watched() {
            return self.options.forget();
        }
        let now = Instant::now();
        if !self.options.is_due(now) {
            return;
        }
        self.options.read(now);
        for sensor in 0..self.thread.info.sensors.len() {
            let mut values = self.camera.option_values(sensor);
            values.extend(self.processing.option_values(sensor));
            let changed = self.options.changed(sensor, values);
            if !changed.is_empty() {
                self.thread.reporter.tell(DeviceNews::OptionsChanged { sensor, values: changed });
            }
        }
    }
}
