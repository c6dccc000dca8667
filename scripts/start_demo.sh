#!/usr/bin/env bash
# Builds the server and runs it with the RealSense cameras that are connected, or a simulated one where there is none; open
# the printed address in several browsers.
#   scripts/start_demo.sh                            on this machine only
#   scripts/start_demo.sh --sim-cameras 1            a simulated camera, whatever is connected
#   scripts/start_demo.sh --recording walk.bag       play a recording as a camera
#   scripts/start_demo.sh --listen 0.0.0.0:8000      for others on the network, too; all flags go to the server
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
    echo "Going on without librealsense: simulated cameras work, real ones and recordings do not." >&2
fi
# Vendor and product ids of RealSense cameras: 8086:0a.. and 8086:0b..
if grep -qs 8086 /sys/bus/usb/devices/*/idVendor && grep -qsiE '^0[ab]' /sys/bus/usb/devices/*/idProduct &&
  [ "$(id -u)" != 0 ] && ! ls /etc/udev/rules.d/*realsense* /lib/udev/rules.d/*realsense* >/dev/null 2>&1; then
  echo "A RealSense camera may be connected, but this user may not have the right to open it: run scripts/install_udev_rules.sh once." >&2
fi
built=${CARGO_TARGET_DIR:-target}/release/realsense-webrtc
# Pages and pipelines are inside the program, too, but the folders are what is used here: who edits one need not wait.
if [ ! -x "$built" ] || [ -n "$(find Cargo.toml Cargo.lock src -newer "$built" -print -quit)" ]; then
  say "Building (the first time takes a few minutes)"
  cargo build --release --locked
  touch "$built"
fi
say "Starting; stop it with Ctrl-C"
# Only here a simulated camera stands in for one that is missing; a --sim-cameras of the caller's comes later and counts.
exec "$built" --www www --pipelines pipelines --sim-cameras auto "$@"
