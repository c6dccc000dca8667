//! The real SDK library for the tests: fetched by scripts/test.sh, which names it in the environment.

use std::path::PathBuf;

use realsense_webrtc::librealsense::Sdk;

/// The library's file, or a panic that says how to get it: a test that needs it never passes without.
pub(crate) fn library() -> PathBuf {
    let named = std::env::var_os("REALSENSE_WEBRTC_TEST_SDK").map(PathBuf::from);
    named.expect(
        "set REALSENSE_WEBRTC_TEST_SDK to a librealsense2.so; scripts/get_librealsense.sh fetches one, and scripts/test.sh \
         does all of it",
    )
}

/// The library, loaded.
pub(crate) fn sdk() -> Sdk {
    Sdk::load(Some(&library())).unwrap_or_else(|error| panic!("{error}"))
}
