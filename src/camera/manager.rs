//! Owns the backends and one named OS thread per open device.

use crate::{
    camera::Fault,
    error::Result,
    model::{DeviceId, DeviceInfo, OptionInfo, SensorInfo},
    session::handle::Health,
};

/// Talks to the device threads. Cheap to clone.
#[derive(Clone)]
pub struct CameraHandle {}

#[allow(clippy::unused_async, missing_docs)]
impl CameraHandle {
    pub(crate) async fn devices(&self, _force: bool) -> Result<Vec<DeviceInfo>> {
        unreachable!()
    }
    pub(crate) async fn device(&self, _device: &DeviceId) -> Result<DeviceInfo> {
        unreachable!()
    }
    pub(crate) async fn sensors(&self, _device: &DeviceId) -> Result<Vec<SensorInfo>> {
        unreachable!()
    }
    pub(crate) async fn option(&self, _device: &DeviceId, _sensor: usize, _option: &str) -> Result<OptionInfo> {
        unreachable!()
    }
    pub(crate) async fn set_option(
        &self,
        _device: &DeviceId,
        _sensor: usize,
        _option: &str,
        _value: f64,
    ) -> Result<()> {
        unreachable!()
    }
    pub(crate) async fn hw_reset(&self, _device: &DeviceId) -> Result<()> {
        unreachable!()
    }
    pub(crate) async fn inject_fault(&self, _device: &DeviceId, _fault: Fault) -> Result<()> {
        unreachable!()
    }
    pub(crate) fn health(&self) -> Health {
        unreachable!()
    }
}
