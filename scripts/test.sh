#!/usr/bin/env bash
# Everything that must hold, in one command: formatting, lints, docs, licences, unit, REST, Socket.IO, media and end-to-end
# tests, the vendor's librealsense in two versions, and real browsers. Installs what it needs first.
#   scripts/test.sh            all of it
#   scripts/test.sh quick      without the browsers
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh --test
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
. scripts/env.sh
say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

say "Formatting"
cargo fmt --check
say "Shell scripts"
shellcheck -x scripts/*.sh .ci/run
say "Dockerfile"
"${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/hadolint/bin/hadolint" Dockerfile
say "The core is pure: std, model and error only, and no clock, in src/core"
# Tests there may take a first Instant; everything after it is arithmetic.
impure=$(grep -rnE '\b(gst|gst_[a-z]+|tokio|hyper|axum|crate::(media|camera|session|http|config))::|SystemTime::now' src/core |
  grep -vE '^[^:]+:[0-9]+: *//' || true)
impure+=$(find src/core -name '*.rs' | while read -r file; do
  case $file in *_tests.rs) continue ;; esac
  awk -v f="$file" '/#\[cfg\(test\)\]/{exit} /Instant::now/{print f":"FNR": "$0}' "$file"
done)
if [ -n "$impure" ]; then echo "$impure"; echo "src/core must stay pure." >&2; exit 1; fi
say "The architecture: imports without circles, every file in docs/reference/architecture.md"
python3 scripts/check_architecture.py
say "Licences, sources and duplicate dependencies"
cargo deny --log-level error check licenses sources bans
say "Lints"
cargo clippy --locked --all-targets --quiet -- -D warnings
say "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
say "The vendor's librealsense, in both versions"
scripts/get_librealsense.sh --all
older=$(scripts/get_librealsense.sh 2.56.5.9235 2>/dev/null)
newer=$(scripts/get_librealsense.sh 2.59.1.11053 2>/dev/null)
# The newer version plays what the older one recorded.
REALSENSE_WEBRTC_TEST_RECORDINGS=$(mktemp -d)
trap 'rm -rf "$REALSENSE_WEBRTC_TEST_RECORDINGS"' EXIT
export REALSENSE_WEBRTC_TEST_RECORDINGS
say "Tests, with librealsense 2.56.5"
export REALSENSE_WEBRTC_TEST_SDK=$older
cargo test --locked --quiet
say "Tests of cameras and recordings, with librealsense 2.59.1"
export REALSENSE_WEBRTC_TEST_SDK=$newer
cargo test --locked --quiet --test cameras --test camera_cycles --test sdk_exit --test sdk_server
if [ "${1:-}" != quick ]; then
  say "Browsers: Chromium and Firefox"
  REALSENSE_WEBRTC_BIN="$PWD/target/debug/realsense-webrtc" npm --prefix tests/browser test --silent
fi
say "All tests passed"
