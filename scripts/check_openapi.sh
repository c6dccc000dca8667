#!/usr/bin/env bash
# Holds the OpenAPI document against the running program: schemathesis asks every operation with parameters and bodies, right and
# wrong, and finds a 500, a status that is not documented, and an answer of another form than the document's. The server has
# simulated cameras, a viewer and a token.
#   scripts/check_openapi.sh [SEED]
# The same seed makes the same requests. REALSENSE_WEBRTC_BIN is the program (target/debug/realsense-webrtc unless said), CASES how
# many cases each operation gets in a phase (12).
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${1:-1}
cases=${CASES:-12}
program=${REALSENSE_WEBRTC_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/realsense-webrtc}

schemathesis=${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/schemathesis
if [ ! -d "$schemathesis" ]; then
  echo "schemathesis is not installed; run scripts/install_deps.sh --test first." >&2
  exit 1
fi

work=$(mktemp -d)
started=()
finish() {
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# Sessions that nobody answers stay for the whole run.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
cat >"$work/server.toml" <<TOML
[server]
listen = "127.0.0.1:0"
token = "$token"
admin_token = "admin-$token"
[sessions]
limit = 10
answer_timeout_s = 1200
[camera]
linger_s = 0.1
[streams.color]
width = 424
height = 240
[recording]
dir = "$work/recordings"
[debug]
settable = ["encoder.bitrate"]
TOML
RUST_BACKTRACE=1 "$program" --config "$work/server.toml" --sim-cameras 3 >"$work/server.log" 2>&1 &
server=$!
started+=("$server")
url=
for _ in $(seq 600); do
  url=$(sed -n 's|.*listening on \(http://[0-9.:]*\).*|\1|p' "$work/server.log" | tail -n1)
  if [ -n "$url" ] || ! kill -0 "$server" 2>/dev/null; then break; fi
  sleep 0.1
done
if [ -z "$url" ]; then
  cat "$work/server.log" >&2
  echo "The server does not start." >&2
  exit 1
fi
ask() { curl --silent --show-error --fail --max-time 60 --header "Authorization: Bearer $token" "$@"; }
offered() {
  ask --json '{"device_id": "844212070924", "stream_types": ["color", "depth"]}' "$url/api/webrtc/offer" |
    python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["session_id"]))'
}

# A viewer, so that there are running elements to ask for; and sessions to ask for and to end.
REALSENSE_WEBRTC_TOKEN=$token "$program" probe watch --url "$url" --device 844212070924 --secs 1800 >"$work/viewer.log" 2>&1 &
started+=("$!")
for _ in 1 2 3; do offered; done >"$work/sessions.txt"
for _ in 1 2; do offered; done >"$work/leaving.txt"
# Another, of another camera, whose streams can be changed.
REALSENSE_WEBRTC_TOKEN=$token "$program" probe watch --url "$url" --device 844212070926 --streams color,depth --secs 300 \
  >"$work/changing.log" 2>&1 &
changing=$!
started+=("$changing")
cp tests/openapi/schemathesis.toml "$work/"
for _ in $(seq 300); do
  ask "$url/api/webrtc/sessions" | python3 -c 'import json, sys
connected = {one["device_id"]: one["session_id"] for one in json.load(sys.stdin) if one["connected"]}
if len(connected) < 2: sys.exit(1)
print(json.dumps(connected["844212070926"]))' >"$work/changing.txt" && break
  sleep 0.1
done

status=0
run() {
  PYTHONPATH=$schemathesis python3 -m schemathesis.cli --config-file "$work/schemathesis.toml" --no-color run "$url/api/openapi.json" \
    --url "$url" --seed "$seed" --max-examples "$cases" --generation-database none --request-timeout 60 \
    --suppress-health-check all --continue-on-failure --warnings off "$@" || status=$?
}
echo "A running element, while nothing has disturbed its viewer yet"
run --header "Authorization: Bearer admin-$token" --include-name "PATCH /api/debug/elements/{device_id}/{stream_type}/{codec}/{element}" \
  --phases examples
echo "The streams of a session that is watched"
run --header "Authorization: Bearer $token" --include-name "PATCH /api/webrtc/sessions/{session_id}" --phases examples
kill "$changing" 2>/dev/null || true
echo "Every operation, with the admin token"
away='(/hw_reset|/reset|/fault)$'
run --header "Authorization: Bearer admin-$token" --exclude-name "DELETE /api/webrtc/sessions" --exclude-path-regex "$away"
ask "$url/api/openapi.json" >"$work/openapi.json"
echo "Every operation, without a token"
run --phases coverage
echo "What takes a camera away, behind all that needs one"
run --header "Authorization: Bearer admin-$token" --include-path-regex "$away"
echo "The end of all sessions, last"
run --header "Authorization: Bearer $token" --include-name "DELETE /api/webrtc/sessions"
ask "$url/api/metrics" >"$work/metrics.txt"
python3 tests/openapi/reached.py "$work/openapi.json" "$work/metrics.txt" || status=1

if ! kill -0 "$server" 2>/dev/null; then
  echo "The server has ended." >&2
  status=1
fi
if grep -E 'panicked|internal error' "$work/server.log" | tail -n 20 >&2; then
  echo "The server has a bug: its log says so above." >&2
  status=1
fi
if [ "$status" != 0 ]; then
  echo "The OpenAPI document and the program differ, or the program failed. The same again: scripts/check_openapi.sh $seed" >&2
fi
[ "$status" = 0 ]
