# shellcheck shell=sh
# Source this before calling cargo by hand:  . scripts/env.sh
#
# Debian's libgstreamer-plugins-bad1.0-dev, which carries gstreamer-webrtc-1.0.pc, drags in OpenCV (600 MB). The build
# only needs libgstwebrtc-1.0.so to link against, so where pkg-config does not know the library, a symlink to the run-time
# library (package libgstreamer-plugins-bad1.0-0) stands in for it. See docs/decisions.md.
if ! pkg-config --exists gstreamer-webrtc-1.0 2>/dev/null; then
  _gst_link_dir="${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/lib"
  # Read to the end: where a script has pipefail, a reader that stops early fails the pipe now and then.
  _gst_real=$(ldconfig -p 2>/dev/null | awk '!found && /libgstwebrtc-1\.0\.so\.0 /{print $NF; found=1}')
  [ -n "$_gst_real" ] || _gst_real=$(/sbin/ldconfig -p 2>/dev/null | awk '!found && /libgstwebrtc-1\.0\.so\.0 /{print $NF; found=1}')
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
