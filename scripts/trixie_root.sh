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
root=${TRIXIE_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/trixie}
say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() { echo "scripts/trixie_root.sh: $*" >&2; exit 1; }

[ $# -gt 0 ] || fail "say what is to run; the first lines of this file tell more."
[ "$(id -u)" = 0 ] || fail "it takes root, for debootstrap and chroot."

# As in the Dockerfile; gstreamer1.0-x has the text elements of pipelines/overlay.h264.gst, -tools gst-launch-1.0.
packages=(
  ca-certificates procps
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-nice
  gstreamer1.0-x gstreamer1.0-tools libgstreamer-plugins-bad1.0-0 libssl3t64 libudev1 libusb-1.0-0
)

# The mirror that this machine's apt has for Debian itself, and not one of somebody else's repositories.
mirror() {
  # shellcheck disable=SC2016 # apt fills it in.
  apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | awk 'NR == 1'
}

# Two marks, so that an attempt that broke off in the second half need not begin anew.
if [ ! -e "$root/.debian" ]; then
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  from=$(mirror)
  [ -n "$from" ] || fail "apt here knows no mirror of Debian; run apt-get update, or make a Debian 13 in $root by hand."
  say "Making a Debian 13 in $root, once"
  # What an attempt left that did not come to its end.
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase trixie "$root" "$from" >&2
  # No service is to start in there.
  printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
  chmod +x "$root/usr/sbin/policy-rc.d"
  touch "$root/.debian"
fi

# inside COMMAND…: in a mount and process namespace of its own, so that mounts and processes end with the command.
inside() {
  # shellcheck disable=SC2016 # The inner shell fills it in.
  unshare --mount --pid --fork --kill-child --propagation private -- bash -euc '
    root=$1 project=$2 target=$3
    shift 3
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    for folder in "$project" "$target"; do
      mkdir -p "$root$folder"
      mount --bind "$folder" "$root$folder"
    done
    exec chroot "$root" /usr/bin/env --chdir="$project" "$@"' inside "$root" "$project" "$target" "$@"
}
target=${CARGO_TARGET_DIR:-$project/target}
mkdir -p "$target"

if [ ! -e "$root/.made" ]; then
  say "Installing GStreamer there"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  # What the machine's apt was told about its mirror and the way to it holds in there, too.
  apt-config dump | grep -iE '^Acquire::(https?::|Check-)' > "$root/etc/apt/apt.conf.d/90host" || true
  inside apt-get update -qq >&2
  inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
  inside apt-get clean
  touch "$root/.made"
fi

if [ "$1" != --tests ]; then
  inside "$@"
  exit
fi

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
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
say "GStreamer there: $(inside gst-inspect-1.0 --version | sed -n 2p)"
say "Unit tests of the media side"
inside "$(executable lib realsense_webrtc)" --quiet media::gst pipeline::
for test in "${tests[@]}"; do
  say "$test"
  inside "$(executable test "$test")" --quiet
done
