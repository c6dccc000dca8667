//! Tests of `sdp`.
