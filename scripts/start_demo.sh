#!/usr/bin/env bash
# Builds the server and starts it with the RealSense cameras that are connected. If there is none, it simulates one. Open the
# printed address in several browsers.
#   scripts/start_demo.sh                            on this machine only
#   scripts/start_demo.sh --sim-cameras 1            a simulated camera beside those that are connected
#   scripts/start_demo.sh --recording walk.bag       play a recording as a camera
#   scripts/start_demo.sh --listen 0.0.0.0:8000      for others on the network, too
# All flags are passed to the server.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
scripts/install_deps.sh
. scripts/env.sh
# Real cameras and recordings need the vendor's library. One that the system's loader finds is used; else its wheel's, which the
# server finds where the script puts it.
known_libraries=$(/sbin/ldconfig -p)
if [ -z "${REALSENSE_WEBRTC__REALSENSE__LIBRARY:-}" ] && [[ $known_libraries != *librealsense2.so* ]]; then
  scripts/get_librealsense.sh >/dev/null ||
    echo "Continuing without librealsense: simulated cameras work, but real cameras and recordings do not." >&2
fi
# Vendor and product ids of RealSense cameras: 8086:0a.. and 8086:0b..
if grep -qs 8086 /sys/bus/usb/devices/*/idVendor && grep -qsiE '^0[ab]' /sys/bus/usb/devices/*/idProduct &&
  [ "$(id -u)" != 0 ] && ! ls /etc/udev/rules.d/*realsense* /lib/udev/rules.d/*realsense* >/dev/null 2>&1; then
  echo "A RealSense camera seems to be connected, but this user may not be allowed to open it. Run scripts/install_udev_rules.sh once." >&2
fi
built=${CARGO_TARGET_DIR:-target}/release/realsense-webrtc
# The program also contains pages and pipelines, but here it uses the folders, so that an edited file needs no new build.
if [ ! -x "$built" ] || [ -n "$(find Cargo.toml Cargo.lock src -newer "$built" -print -quit)" ]; then
  say "Building (the first time takes a few minutes)"
  cargo build --release --locked
  touch "$built"
fi
say "Starting; stop it with Ctrl-C"
# Only this script simulates a camera if none is connected. If the caller gives --sim-cameras, too, the later one counts.
exec "$built" --www www --pipelines pipelines --sim-cameras auto "$@"
