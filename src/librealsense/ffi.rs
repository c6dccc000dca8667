//! The table of the SDK's functions, filled by name from the loaded library. Types are those of `realsense-sys`, and each
//! function's signature is checked against it when this is compiled; the functions of `rs_internal.h`, which that crate
//! leaves out, are declared here after librealsense 2.56's header.

#![allow(non_camel_case_types, reason = "the C library's own names")]

use std::{
    ffi::{CStr, CString, NulError, c_char, c_int, c_uint, c_void},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use realsense_sys as sys;
use sys::{
    rs2_camera_info, rs2_context, rs2_device, rs2_device_list, rs2_error, rs2_extension, rs2_extrinsics, rs2_format,
    rs2_frame, rs2_frame_metadata_value, rs2_intrinsics, rs2_log_callback_ptr, rs2_log_message, rs2_log_severity,
    rs2_metadata_type, rs2_motion_device_intrinsic, rs2_option, rs2_options, rs2_options_list, rs2_playback_status,
    rs2_raw_data_buffer, rs2_sensor, rs2_sensor_list, rs2_stream, rs2_stream_profile, rs2_stream_profile_list,
    rs2_time_t, rs2_timestamp_domain,
};

use super::{Result, SdkError};

/// Parameters of a software sensor's video stream (rs_internal.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct rs2_video_stream {
    pub(super) type_: rs2_stream,
    pub(super) index: c_int,
    pub(super) uid: c_int,
    pub(super) width: c_int,
    pub(super) height: c_int,
    pub(super) fps: c_int,
    pub(super) bpp: c_int,
    pub(super) fmt: rs2_format,
    pub(super) intrinsics: rs2_intrinsics,
}

/// Parameters of a software sensor's motion stream (rs_internal.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct rs2_motion_stream {
    pub(super) type_: rs2_stream,
    pub(super) index: c_int,
    pub(super) uid: c_int,
    pub(super) fps: c_int,
    pub(super) fmt: rs2_format,
    pub(super) intrinsics: rs2_motion_device_intrinsic,
}

/// A frame given to a software sensor (rs_internal.h).
#[repr(C)]
pub(super) struct rs2_software_video_frame {
    pub(super) pixels: *mut c_void,
    pub(super) deleter: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(super) stride: c_int,
    pub(super) bpp: c_int,
    pub(super) timestamp: rs2_time_t,
    pub(super) domain: rs2_timestamp_domain,
    pub(super) frame_number: c_int,
    pub(super) profile: *const rs2_stream_profile,
    pub(super) depth_units: f32,
}

/// A motion sample given to a software sensor (rs_internal.h).
#[repr(C)]
pub(super) struct rs2_software_motion_frame {
    pub(super) data: *mut c_void,
    pub(super) deleter: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(super) timestamp: rs2_time_t,
    pub(super) domain: rs2_timestamp_domain,
    pub(super) frame_number: c_int,
    pub(super) profile: *const rs2_stream_profile,
}

type Error = *mut *mut rs2_error;
type DevicesChanged = sys::rs2_devices_changed_callback_ptr;
type FrameCallback = sys::rs2_frame_callback_ptr;

/// Declares the table. `checked` functions are compared with `realsense-sys`, `internal` ones are not in it, and
/// `optional` ones may be missing from the library.
macro_rules! api {
    (
        checked { $( fn $name:ident($($arg:ty),* $(,)?) $(-> $ret:ty)?; )* }
        internal { $( fn $iname:ident($($iarg:ty),* $(,)?) $(-> $iret:ty)?; )* }
        optional { $( fn $oname:ident($($oarg:ty),* $(,)?) $(-> $oret:ty)?; )* }
    ) => {
        /// The SDK's functions.
        pub(super) struct Api {
            $( pub(super) $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?, )*
            $( pub(super) $iname: unsafe extern "C" fn($($iarg),*) $(-> $iret)?, )*
            $( pub(super) $oname: Option<unsafe extern "C" fn($($oarg),*) $(-> $oret)?>, )*
        }

        // The signatures above are those of realsense-sys, or this does not compile. Never called, so never linked.
        $( const _: unsafe extern "C" fn($($arg),*) $(-> $ret)? = sys::$name; )*

        impl Api {
            /// Looks every function up.
            ///
            /// # Errors
            /// The name of the first function that the library does not have.
            pub(super) fn load(library: &libloading::Library) -> std::result::Result<Self, &'static str> {
                // SAFETY: the library is librealsense2 of major version 2, whose C functions keep their signatures within
                // the major version; the types are those of its headers. It is never unloaded, so the pointers stay good.
                unsafe {
                    Ok(Self {
                        $( $name: *library
                            .get(concat!(stringify!($name), "\0").as_bytes())
                            .map_err(|_| stringify!($name))?, )*
                        $( $iname: *library
                            .get(concat!(stringify!($iname), "\0").as_bytes())
                            .map_err(|_| stringify!($iname))?, )*
                        $( $oname: library
                            .get(concat!(stringify!($oname), "\0").as_bytes())
                            .ok()
                            .map(|symbol| *symbol), )*
                    })
                }
            }
        }
    };
}

api! {
    checked {
        fn rs2_get_api_version(Error) -> c_int;
        fn rs2_get_error_message(*const rs2_error) -> *const c_char;
        fn rs2_get_failed_function(*const rs2_error) -> *const c_char;
        fn rs2_free_error(*mut rs2_error);
        fn rs2_log_to_callback(rs2_log_severity, rs2_log_callback_ptr, *mut c_void, Error);
        fn rs2_get_raw_log_message(*const rs2_log_message, Error) -> *const c_char;
        // Context
        fn rs2_create_context_ex(c_int, *const c_char, Error) -> *mut rs2_context;
        fn rs2_delete_context(*mut rs2_context);
        fn rs2_set_devices_changed_callback(*const rs2_context, DevicesChanged, *mut c_void, Error);
        fn rs2_context_add_device(*mut rs2_context, *const c_char, Error) -> *mut rs2_device;
        fn rs2_context_remove_device(*mut rs2_context, *const c_char, Error);
        fn rs2_context_add_software_device(*mut rs2_context, *mut rs2_device, Error);
        fn rs2_query_devices(*const rs2_context, Error) -> *mut rs2_device_list;
        fn rs2_get_device_count(*const rs2_device_list, Error) -> c_int;
        fn rs2_device_list_contains(*const rs2_device_list, *const rs2_device, Error) -> c_int;
        fn rs2_create_device(*const rs2_device_list, c_int, Error) -> *mut rs2_device;
        fn rs2_delete_device_list(*mut rs2_device_list);
        // Device
        fn rs2_delete_device(*mut rs2_device);
        fn rs2_get_device_info(*const rs2_device, rs2_camera_info, Error) -> *const c_char;
        fn rs2_supports_device_info(*const rs2_device, rs2_camera_info, Error) -> c_int;
        fn rs2_is_device_extendable_to(*const rs2_device, rs2_extension, Error) -> c_int;
        fn rs2_hardware_reset(*const rs2_device, Error);
        fn rs2_query_sensors(*const rs2_device, Error) -> *mut rs2_sensor_list;
        fn rs2_load_json(*mut rs2_device, *const c_void, c_uint, Error);
        fn rs2_serialize_json(*mut rs2_device, Error) -> *mut rs2_raw_data_buffer;
        fn rs2_get_raw_data_size(*const rs2_raw_data_buffer, Error) -> c_int;
        fn rs2_get_raw_data(*const rs2_raw_data_buffer, Error) -> *const u8;
        fn rs2_delete_raw_data(*const rs2_raw_data_buffer);
        // Sensor
        fn rs2_get_sensors_count(*const rs2_sensor_list, Error) -> c_int;
        fn rs2_delete_sensor_list(*mut rs2_sensor_list);
        fn rs2_create_sensor(*const rs2_sensor_list, c_int, Error) -> *mut rs2_sensor;
        fn rs2_delete_sensor(*mut rs2_sensor);
        fn rs2_get_sensor_info(*const rs2_sensor, rs2_camera_info, Error) -> *const c_char;
        fn rs2_supports_sensor_info(*const rs2_sensor, rs2_camera_info, Error) -> c_int;
        fn rs2_get_stream_profiles(*mut rs2_sensor, Error) -> *mut rs2_stream_profile_list;
        fn rs2_open_multiple(*mut rs2_sensor, *mut *const rs2_stream_profile, c_int, Error);
        fn rs2_close(*const rs2_sensor, Error);
        fn rs2_start(*const rs2_sensor, FrameCallback, *mut c_void, Error);
        fn rs2_stop(*const rs2_sensor, Error);
        fn rs2_get_depth_scale(*mut rs2_sensor, Error) -> f32;
        // Profiles
        fn rs2_get_stream_profiles_count(*const rs2_stream_profile_list, Error) -> c_int;
        fn rs2_get_stream_profile(*const rs2_stream_profile_list, c_int, Error) -> *const rs2_stream_profile;
        fn rs2_delete_stream_profiles_list(*mut rs2_stream_profile_list);
        fn rs2_get_stream_profile_data(*const rs2_stream_profile, *mut rs2_stream, *mut rs2_format, *mut c_int, *mut c_int,
            *mut c_int, Error);
        fn rs2_get_video_stream_resolution(*const rs2_stream_profile, *mut c_int, *mut c_int, Error);
        fn rs2_get_video_stream_intrinsics(*const rs2_stream_profile, *mut rs2_intrinsics, Error);
        fn rs2_get_extrinsics(*const rs2_stream_profile, *const rs2_stream_profile, *mut rs2_extrinsics, Error);
        fn rs2_register_extrinsics(*const rs2_stream_profile, *const rs2_stream_profile, rs2_extrinsics, Error);
        // Frames
        fn rs2_release_frame(*mut rs2_frame);
        fn rs2_keep_frame(*mut rs2_frame);
        fn rs2_get_frame_data(*const rs2_frame, Error) -> *const c_void;
        fn rs2_get_frame_data_size(*const rs2_frame, Error) -> c_int;
        fn rs2_get_frame_width(*const rs2_frame, Error) -> c_int;
        fn rs2_get_frame_height(*const rs2_frame, Error) -> c_int;
        fn rs2_get_frame_stride_in_bytes(*const rs2_frame, Error) -> c_int;
        fn rs2_get_frame_number(*const rs2_frame, Error) -> u64;
        fn rs2_get_frame_timestamp(*const rs2_frame, Error) -> rs2_time_t;
        fn rs2_get_frame_timestamp_domain(*const rs2_frame, Error) -> rs2_timestamp_domain;
        fn rs2_get_frame_metadata(*const rs2_frame, rs2_frame_metadata_value, Error) -> rs2_metadata_type;
        fn rs2_supports_frame_metadata(*const rs2_frame, rs2_frame_metadata_value, Error) -> c_int;
        fn rs2_get_frame_stream_profile(*const rs2_frame, Error) -> *const rs2_stream_profile;
        fn rs2_depth_frame_get_units(*const rs2_frame, Error) -> f32;
        fn rs2_is_frame_extendable_to(*const rs2_frame, rs2_extension, Error) -> c_int;
        // Options
        fn rs2_get_options_list(*const rs2_options, Error) -> *mut rs2_options_list;
        fn rs2_get_options_list_size(*const rs2_options_list, Error) -> c_int;
        fn rs2_get_option_from_list(*const rs2_options_list, c_int, Error) -> rs2_option;
        fn rs2_delete_options_list(*mut rs2_options_list);
        fn rs2_supports_option(*const rs2_options, rs2_option, Error) -> c_int;
        fn rs2_is_option_read_only(*const rs2_options, rs2_option, Error) -> c_int;
        fn rs2_get_option(*const rs2_options, rs2_option, Error) -> f32;
        fn rs2_set_option(*const rs2_options, rs2_option, f32, Error);
        fn rs2_get_option_range(*const rs2_options, rs2_option, *mut f32, *mut f32, *mut f32, *mut f32, Error);
        fn rs2_get_option_name(*const rs2_options, rs2_option, Error) -> *const c_char;
        fn rs2_get_option_description(*const rs2_options, rs2_option, Error) -> *const c_char;
        fn rs2_get_option_value_description(*const rs2_options, rs2_option, f32, Error) -> *const c_char;
        fn rs2_option_to_string(rs2_option) -> *const c_char;
        // Recording and playback
        fn rs2_create_record_device(*const rs2_device, *const c_char, Error) -> *mut rs2_device;
        fn rs2_playback_get_duration(*const rs2_device, Error) -> u64;
        fn rs2_playback_get_position(*const rs2_device, Error) -> u64;
        fn rs2_playback_seek(*const rs2_device, i64, Error);
        fn rs2_playback_device_pause(*const rs2_device, Error);
        fn rs2_playback_device_resume(*const rs2_device, Error);
        fn rs2_playback_device_set_real_time(*const rs2_device, c_int, Error);
        fn rs2_playback_device_set_playback_speed(*const rs2_device, f32, Error);
        fn rs2_playback_device_get_current_status(*const rs2_device, Error) -> rs2_playback_status;
    }
    internal {
        fn rs2_create_software_device(Error) -> *mut rs2_device;
        fn rs2_software_device_register_info(*mut rs2_device, rs2_camera_info, *const c_char, Error);
        fn rs2_software_device_add_sensor(*mut rs2_device, *const c_char, Error) -> *mut rs2_sensor;
        fn rs2_software_sensor_add_video_stream(*mut rs2_sensor, rs2_video_stream, Error) -> *mut rs2_stream_profile;
        fn rs2_software_sensor_add_motion_stream(*mut rs2_sensor, rs2_motion_stream, Error) -> *mut rs2_stream_profile;
        fn rs2_software_sensor_on_video_frame(*mut rs2_sensor, rs2_software_video_frame, Error);
        fn rs2_software_sensor_on_motion_frame(*mut rs2_sensor, rs2_software_motion_frame, Error);
        fn rs2_software_sensor_set_metadata(*mut rs2_sensor, rs2_frame_metadata_value, rs2_metadata_type, Error);
        fn rs2_software_sensor_add_option(*mut rs2_sensor, rs2_option, f32, f32, f32, f32, c_int, Error);
        fn rs2_software_sensor_update_read_only_option(*mut rs2_sensor, rs2_option, f32, Error);
    }
    optional {
        // Never called; that it is there tells which kind of recording the library writes.
        fn rs2_convert_bag_to_db3();
    }
}

impl Api {
    /// Calls a function of the SDK: `call` gets the place for its error.
    pub(super) fn call<T>(&self, call: impl FnOnce(Error) -> T) -> Result<T> {
        let mut error = std::ptr::null_mut();
        let value = call(&raw mut error);
        if error.is_null() {
            return Ok(value);
        }
        // SAFETY: a call that failed gave an error object, which is read and freed here and nowhere else.
        unsafe {
            let sdk_error = SdkError {
                message: text((self.rs2_get_error_message)(error)),
                function: text((self.rs2_get_failed_function)(error)),
            };
            (self.rs2_free_error)(error);
            Err(sdk_error)
        }
    }

    /// Calls a function of the SDK whose failure changes nothing for us: tearing down what is gone already.
    pub(super) fn attempt(&self, call: impl FnOnce(Error)) {
        if let Err(error) = self.call(call) {
            tracing::debug!(%error, "librealsense refused a step of a teardown");
        }
    }
}

/// Copies a C string; empty for null.
///
/// # Safety
/// `raw` is null or a string that ends in a zero byte and lives during the call.
pub(super) unsafe fn text(raw: *const c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned()
}

/// A file's path for the SDK, whose bytes need not be text.
pub(super) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(zero_byte)
}

/// A string for the SDK.
pub(super) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(zero_byte)
}

fn zero_byte(_: NulError) -> SdkError {
    SdkError { message: "a name must not contain a zero byte".into(), function: "string".into() }
}
