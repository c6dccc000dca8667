//! Writes recordings with the SDK's own recorder. What is recorded is a software device that looks like the camera and is given
//! the frames that the recording's tap has copied. The camera itself is never touched, so a recording that starts or stops cannot
//! disturb a viewer, and whatever delivers frames can be recorded.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::software;
use crate::{
    camera::{
        Frame,
        recorder::{RecordedDevice, RecordedSensor, Recorder, RecorderFactory},
    },
    error::{Error, Result},
    librealsense::{
        CameraInfo, Device, OptionId, OptionRange, Sdk, SdkError, Sensor, SoftwareDevice, SoftwareFrame,
        SoftwareSensor, SoftwareStream, StreamProfile,
    },
    model::{DeviceInfo, PixelFormat, SensorProfile, StreamType},
};

/// Makes recorders of the loaded SDK.
pub struct SdkRecorderFactory {
    sdk: Sdk,
}

impl SdkRecorderFactory {
    /// A factory of this SDK.
    pub fn new(sdk: Sdk) -> Self {
        Self { sdk }
    }
}

/// What the SDK may write after its last frame was given to it: frames that wait for its own writer, of which it keeps up to
/// a second at 1920x1080x4x30 (`MAX_CACHED_DATA_SIZE` in record_device.cpp, 249 MB), and the index. With the disk full at
/// the end of a `.bag`, 2.56 throws in a destructor, which ends the process ("Problem writing data to disk").
const RESERVE: u64 = 384_000_000;

/// One recording being written. Fields are dropped in this order: first what streams, then the recorder, whose end completes
/// the file, then what it recorded.
struct SdkRecorder {
    recorded: Vec<Sensor>,
    recorder: Option<Device>,
    streams: BTreeMap<StreamType, Written>,
    _sensors: Vec<Arc<SoftwareSensor>>,
    _device: SoftwareDevice,
}

/// Where a stream's frames go.
struct Written {
    sensor: Arc<SoftwareSensor>,
    profile: StreamProfile,
}

impl RecorderFactory for SdkRecorderFactory {
    fn extension(&self) -> &'static str {
        self.sdk.recording_extension()
    }

    fn reserve_bytes(&self) -> u64 {
        RESERVE
    }

    fn create(&self, file: &Path, device: &RecordedDevice) -> Result<Box<dyn Recorder>> {
        let made = self.make(file, device);
        made.map(|recorder| Box::new(recorder) as Box<dyn Recorder>)
            .map_err(|error| Error::unavailable(format!("{} cannot be recorded: {}", file.display(), error.message)))
    }
}

impl SdkRecorderFactory {
    fn make(&self, file: &Path, recorded: &RecordedDevice) -> crate::librealsense::Result<SdkRecorder> {
        let device = SoftwareDevice::new(self.sdk)?;
        describe(&device, &recorded.info)?;
        let mut streams = BTreeMap::new();
        let mut sensors = Vec::new();
        let mut first: Option<StreamProfile> = None;
        for described in &recorded.sensors {
            let sensor = Arc::new(self.sensor(&device, described)?);
            for stream in &described.streams {
                let what = SensorProfile {
                    stream: stream.config.stream,
                    format: written_format(stream.config.format),
                    profile: stream.config.profile,
                };
                let unique_id = i32::try_from(streams.len()).unwrap_or(0) + 1;
                let profile = sensor.add_stream(&SoftwareStream { what, intrinsics: stream.intrinsics, unique_id })?;
                match (&first, &stream.to_first) {
                    (None, _) => first = Some(profile.clone()),
                    (Some(first), Some(extrinsics)) => profile.register_extrinsics(first, extrinsics)?,
                    (Some(_), None) => {}
                }
                streams.insert(what.stream, Written { sensor: sensor.clone(), profile });
            }
            sensors.push(sensor);
        }
        let recorder = device.as_device().record_to(file)?;
        let recorded = recorder.sensors()?;
        for sensor in &recorded {
            let profiles = sensor.profiles()?;
            if !profiles.is_empty() {
                // The recorder takes its frames on the way; nobody else wants them.
                sensor.start(&profiles, |_| {})?;
            }
        }
        Ok(SdkRecorder { recorded, recorder: Some(recorder), streams, _sensors: sensors, _device: device })
    }

    fn sensor(
        &self,
        device: &SoftwareDevice,
        described: &RecordedSensor,
    ) -> crate::librealsense::Result<SoftwareSensor> {
        let sensor = device.add_sensor(&described.name)?;
        for option in described.options.iter().filter(|option| option.option_id != "depth_units") {
            software::add_option(self.sdk, &sensor, option)?;
        }
        // A reader takes the scale of depth from this option.
        if let Some(units) = described.depth_units {
            let range = OptionRange { min: units, max: units, step: 0.0, default: units };
            sensor.add_option(OptionId::DEPTH_UNITS, range, false)?;
        }
        Ok(sensor)
    }
}

fn describe(device: &SoftwareDevice, info: &DeviceInfo) -> crate::librealsense::Result<()> {
    let known = [
        (CameraInfo::Name, Some(&info.name)),
        (CameraInfo::SerialNumber, Some(&info.serial_number)),
        (CameraInfo::FirmwareVersion, info.firmware_version.as_ref()),
        (CameraInfo::RecommendedFirmwareVersion, info.recommended_firmware_version.as_ref()),
        (CameraInfo::PhysicalPort, info.physical_port.as_ref()),
        (CameraInfo::ProductId, info.product_id.as_ref()),
        (CameraInfo::UsbType, info.usb_type.as_ref()),
    ];
    known
        .into_iter()
        .filter_map(|(which, value)| Some((which, value?)))
        .try_for_each(|(which, value)| device.set_info(which, value))
}

/// The format that a stream is recorded in: the simulator's I420 is none of the SDK's.
fn written_format(format: PixelFormat) -> PixelFormat {
    if format == PixelFormat::I420 { PixelFormat::Yuyv } else { format }
}

impl Recorder for SdkRecorder {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        let Some(written) = self.streams.get(&frame.stream) else { return Ok(()) };
        let profile = written.profile.what().profile;
        let data: Arc<dyn AsRef<[u8]> + Send + Sync> = if frame.format == PixelFormat::I420 {
            Arc::new(yuyv(frame.bytes(), frame.width as usize, frame.height as usize))
        } else {
            frame.data.clone()
        };
        // The SDK reads as many rows as the profile has.
        if frame.stream.is_video()
            && ((frame.width, frame.height) != (profile.width, profile.height) || !frame.size_fits())
        {
            return Ok(());
        }
        let given = written.sensor.give(&SoftwareFrame {
            profile: &written.profile,
            data,
            number: frame.number,
            timestamp_ms: frame.timestamp_ms,
            domain: frame.timestamp_domain,
            depth_units: frame.depth_units,
            metadata: &frame.metadata,
        });
        given.map_err(|error: SdkError| {
            Error::unavailable(format!("The recording cannot be written: {}", error.message))
        })
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.recorded.iter().for_each(Sensor::stop);
        self.recorded.clear();
        // Its end writes the index; without it the file is incomplete.
        drop(self.recorder.take());
        Ok(())
    }
}

/// I420 as YUYV, whose chroma has twice the rows: each is used twice.
fn yuyv(i420: &[u8], width: usize, height: usize) -> Vec<u8> {
    let (luma, chroma) = i420.split_at((width * height).min(i420.len()));
    let half = width.div_ceil(2);
    let (u, v) = chroma.split_at((half * height.div_ceil(2)).min(chroma.len()));
    let mut out = Vec::with_capacity(width * height * 2);
    for (y, row) in luma.chunks_exact(width.max(1)).enumerate() {
        let at = y / 2 * half;
        let (Some(u), Some(v)) = (u.get(at..at + half), v.get(at..at + half)) else { break };
        for ((pair, u), v) in row.chunks(2).zip(u).zip(v) {
            out.extend([pair[0], *u, *pair.last().unwrap_or(&pair[0]), *v]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::yuyv;

    #[test]
    fn i420_becomes_yuyv() {
        let i420 = [1, 2, 3, 4, 5, 6, 7, 8, 100, 101, 200, 201];
        assert_eq!(yuyv(&i420, 4, 2), [1, 100, 2, 200, 3, 101, 4, 201, 5, 100, 6, 200, 7, 101, 8, 201]);
        assert_eq!(yuyv(&i420[..5], 4, 2).len(), 0);
    }
}
