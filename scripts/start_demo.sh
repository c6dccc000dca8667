#!/usr/bin/env bash
# Builds the server and runs it with the simulated camera; open the printed address in several browsers.
#   scripts/start_demo.sh                            on this machine only
#   scripts/start_demo.sh --listen 0.0.0.0:8000      for others on the network, too; all flags go to the server
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
. scripts/env.sh
printf '\033[1m==> Building (the first time takes a few minutes)\033[0m\n'
cargo build --release --locked
printf '\033[1m==> Starting; stop it with Ctrl-C\033[0m\n'
exec target/release/realsense-webrtc --www www --pipelines pipelines "$@"
