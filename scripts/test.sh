#!/usr/bin/env bash
# Everything that must hold, in one command: formatting, lints, docs, licences, unit, REST, Socket.IO, media and end-to-end
# tests, the vendor's librealsense in two versions, and real browsers. Installs what it needs first.
#   scripts/test.sh            all of it
#   scripts/test.sh quick      without the browsers
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
scripts/install_deps.sh --test
. scripts/env.sh

say "Formatting"
cargo fmt --all --check
cargo fmt --check --manifest-path tests/loom/Cargo.toml
cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
say "Shell scripts"
shellcheck -x scripts/*.sh .ci/run
say "Dockerfile"
"${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/hadolint/bin/hadolint" Dockerfile
say "The architecture: imports without circles, every file in docs/reference/architecture.md"
python3 scripts/check_architecture.py
say "Licences, sources and duplicate dependencies"
cargo deny --log-level error check licenses sources bans
say "Lints"
cargo clippy --locked --all-targets --quiet -- -D warnings
say "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
scripts/loom.sh
say "The vendor's librealsense, in both versions"
scripts/get_librealsense.sh --all
older=$(scripts/get_librealsense.sh 2.56.5.9235 2>/dev/null)
newer=$(scripts/get_librealsense.sh 2.59.1.11053 2>/dev/null)
# The newer version plays what the older one recorded.
REALSENSE_WEBRTC_TEST_RECORDINGS=$(mktemp -d)
trap 'rm -rf "$REALSENSE_WEBRTC_TEST_RECORDINGS"' EXIT
export REALSENSE_WEBRTC_TEST_RECORDINGS
AIORTC=$(scripts/get_aiortc.sh)
export AIORTC
say "Tests, with librealsense 2.56.5"
export REALSENSE_WEBRTC_TEST_SDK=$older
cargo test --locked --quiet
say "Tests of cameras and recordings, with librealsense 2.59.1"
export REALSENSE_WEBRTC_TEST_SDK=$newer
cargo test --locked --quiet --test cameras --test camera_cycles --test sdk_exit --test sdk_server
say "The OpenAPI document against the program, by schemathesis"
scripts/check_openapi.sh
REALSENSE_WEBRTC_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/debug/realsense-webrtc")
export REALSENSE_WEBRTC_BIN
say "The documentation: every example against the program, and what the pages name"
python3 tests/docs/check_docs_test.py
scripts/check_docs.py
if [ "${1:-}" = quick ]; then
  say "The pages' scripts: types and unit tests"
  npm --prefix tests/browser run check --silent
  npm --prefix tests/browser run unit --silent
else
  say "The pages: types, unit tests, and Chromium and Firefox"
  npm --prefix tests/browser test --silent
fi
say "All tests passed"
