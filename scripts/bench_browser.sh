#!/usr/bin/env bash
# The part of scripts/bench.sh that needs a browser: scripts/bench_browser.sh http://127.0.0.1:PORT
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d tests/browser/node_modules ] || scripts/install_deps.sh --test >&2
exec node tests/browser/bench.mjs "$1"
