#!/usr/bin/env bash
# Fetches aiortc, a WebRTC stack in Python, from PyPI once and prints the folder that it lies in, for PYTHONPATH.
#   AIORTC=$(scripts/get_aiortc.sh)
set -euo pipefail
version=1.16.0
folder=${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/aiortc-$version
if [ ! -e "$folder/.made" ]; then
  echo "Fetching aiortc $version from PyPI" >&2
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target "$folder" \
    "aiortc==$version" >&2
  touch "$folder/.made"
fi
echo "$folder"
