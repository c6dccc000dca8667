#!/usr/bin/env bash
# Runs a command under Debian 13 (trixie) with GStreamer 1.26, on a machine that has something older: what is built on Debian 12
# runs there as it is. Makes a small Debian by debootstrap once (1.2 GB, some minutes) and keeps it. Needs root and the Debian
# package debootstrap; downloads from the mirror that apt uses. Every mount is gone when the command has ended.
#   scripts/trixie_root.sh COMMAND [ARGUMENT]…    in this folder, with the same paths; libraries and programs are trixie's
#   scripts/trixie_root.sh --tests                builds the tests here and runs those of the media side there
# TRIXIE_ROOT: where the Debian is kept, else ~/.cache/realsense-webrtc/trixie.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
. scripts/common.sh
. scripts/debian_root.sh
root=${TRIXIE_ROOT:-$cache/trixie}
fail() { echo "scripts/trixie_root.sh: $*" >&2; exit 1; }

[ $# -gt 0 ] || fail "say what is to run; the first lines of this file tell more."
[ "$(id -u)" = 0 ] || fail "it takes root, for debootstrap and chroot."

# As in the Dockerfile; gstreamer1.0-x has the text elements of pipelines/overlay.h264.gst, -tools gst-launch-1.0.
packages=(
  ca-certificates procps
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-nice
  gstreamer1.0-x gstreamer1.0-tools libgstreamer-plugins-bad1.0-0 libssl3t64 libudev1 libusb-1.0-0
)

make_debian trixie "$root" >&2

target=${CARGO_TARGET_DIR:-$project/target}
mkdir -p "$target"
bound=("$project" "$target")
there() { inside "$root" --chdir="$project" "$@"; }

if [ ! -e "$root/.made" ]; then
  say "Installing GStreamer there" >&2
  there apt-get update -qq >&2
  there env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
  there apt-get clean
  touch "$root/.made"
fi

if [ "$1" != --tests ]; then
  there "$@"
  exit
fi

. scripts/env.sh
tests=(variants pipeline_cli media media_cycles end_to_end)
built=$(cargo test --locked --no-run --quiet --lib --bins "${tests[@]/#/--test=}" --message-format=json | python3 -c '
import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and made.get("profile", {}).get("test"):
        print(made["target"]["kind"][0], made["target"]["name"], made["executable"])')
# executable KIND NAME: what cargo built of a test.
executable() { awk -v kind="$1" -v name="$2" '$1 == kind && $2 == name {print $3}' <<<"$built"; }
say "GStreamer there: $(there gst-inspect-1.0 --version | sed -n 2p)"
say "Unit tests of the media side"
there "$(executable lib realsense_webrtc)" --quiet media::gst pipeline::
for test in "${tests[@]}"; do
  say "$test"
  there "$(executable test "$test")" --quiet
done
