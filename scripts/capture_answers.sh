#!/usr/bin/env bash
# Lets other WebRTC stacks answer the real server's offers and receive its media, and keeps their answers in tests/sdp with a table
# of what came of each. Installs what it needs first. REALSENSE_WEBRTC_BIN names a server that is built already.
#   scripts/capture_answers.sh [STACK…]            captures anew: chromium, firefox, aiortc, gstreamer, werift, libdatachannel, or all
#   scripts/capture_answers.sh --check [STACK…]    writes nothing: answers are still taken and media still arrives
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

scripts/install_deps.sh --full
. scripts/env.sh
stacks=tests/sdp/capture
if [ ! -d $stacks/node_modules ] || [ $stacks/package-lock.json -nt $stacks/node_modules/.package-lock.json ]; then
  say "Installing werift and node-datachannel from npm"
  (cd $stacks && npm ci --no-audit --no-fund --loglevel=error)
fi
AIORTC=$(scripts/get_aiortc.sh)
export AIORTC
if [ -z "${REALSENSE_WEBRTC_BIN:-}" ]; then
  say "Building the server"
  cargo build --locked --quiet
  export REALSENSE_WEBRTC_BIN="${CARGO_TARGET_DIR:-$PWD/target}/debug/realsense-webrtc"
fi
say "Each stack answers the server and receives its media"
node $stacks/capture.mjs "$@"
