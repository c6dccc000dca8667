# shellcheck shell=sh
# Source this before calling cargo by hand:  . scripts/env.sh
#
# The Rust that scripts/install_deps.sh fetched, if it did: it leaves a person's own alone.
_rust="${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/rust"
if [ -d "$_rust/cargo/bin" ]; then
  export CARGO_HOME="$_rust/cargo" RUSTUP_HOME="$_rust/rustup"
  export PATH="$_rust/cargo/bin:$PATH"
elif [ -f "$HOME/.cargo/env" ]; then
  . "$HOME/.cargo/env"
fi
# Programs of cargo's that it built.
export PATH="$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/cargo-programs/bin"

# Debian's libgstreamer-plugins-bad1.0-dev, which carries gstreamer-webrtc-1.0.pc, drags in OpenCV (600 MB). The build
# only needs libgstwebrtc-1.0.so to link against, so where pkg-config does not know the library, a symlink to the run-time
# library (package libgstreamer-plugins-bad1.0-0) stands in for it. See docs/decisions.md.
if ! pkg-config --exists gstreamer-webrtc-1.0 2>/dev/null; then
  _gst_link_dir="${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/lib"
  # Read to the end: where a script has pipefail, a reader that stops early fails the pipe now and then. Debian keeps ldconfig where
  # a user's PATH does not look.
  _gst_real=$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | awk '!found && /libgstwebrtc-1\.0\.so\.0 /{print $NF; found=1}') || true
  if [ -n "$_gst_real" ]; then
    mkdir -p "$_gst_link_dir"
    ln -sf "$_gst_real" "$_gst_link_dir/libgstwebrtc-1.0.so"
    export SYSTEM_DEPS_GSTREAMER_WEBRTC_1_0_NO_PKG_CONFIG=1
    export SYSTEM_DEPS_GSTREAMER_WEBRTC_1_0_LIB=gstwebrtc-1.0
    export SYSTEM_DEPS_GSTREAMER_WEBRTC_1_0_SEARCH_NATIVE="$_gst_link_dir"
  else
    echo "scripts/env.sh: libgstwebrtc-1.0.so.0 is not installed; run scripts/install_deps.sh first." >&2
  fi
fi
