#!/usr/bin/env bash
# Runs the places where threads of the server meet under every order of their steps (loom), about a minute after the first build.
# What is modelled stands in tests/loom/src/lib.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
echo "==> loom: every order in which the threads can run"
RUSTFLAGS="--cfg loom" cargo test --locked --release --quiet --manifest-path tests/loom/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}/loom"
