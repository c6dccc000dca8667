#!/usr/bin/env bash
# What takes too long for every change: run it before a release, after scripts/test.sh. Installs what it needs first.
#   scripts/test_full.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
scripts/install_deps.sh --full
. scripts/env.sh

say "The program"
# As scripts/test.sh builds it, so that nothing is built twice.
cargo test --locked --no-run --quiet
export REALSENSE_WEBRTC_BIN="${CARGO_TARGET_DIR:-$PWD/target}/debug/realsense-webrtc"
say "200 page loads in Chromium and Firefox leave no thread and no descriptor behind"
(cd tests/browser && LOADS=200 node --test loads.test.mjs)
say "A GStreamer receiver for 75 s"
RECEIVER_SECS=75 cargo test --locked --quiet --test foreign_receivers gstreamer
say "Six other stacks answer the server and receive its media"
scripts/capture_answers.sh --check
say "Fuzzing, a minute for each target"
scripts/fuzz.sh 60
say "The media side under Debian 13's GStreamer"
scripts/trixie_root.sh --tests
say "Installing, upgrading and uninstalling in a fresh Debian 12 and 13"
for release in bookworm trixie; do scripts/prove_install.sh "$release"; done
say "All long tests passed"
