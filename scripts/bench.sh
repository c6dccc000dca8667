#!/usr/bin/env bash
# Measures the budgets of docs/performance.md on this machine: builds the release, starts a server with a simulated camera
# on a free port, loads it with `realsense-webrtc probe`, and prints a report in Markdown. Progress goes to standard error.
#   scripts/bench.sh             everything, about six minutes after the build
#   scripts/bench.sh --quick     short measurements, for trying the script out
# Environment: BIN=path/to/realsense-webrtc measures that program instead of building one.
#              BROWSER_BENCH=command  is run with the server's address and adds table rows (frame to canvas in Chromium);
#              by default scripts/bench_browser.sh where it exists.
# Exits 0 when every budget was met, 1 when one was not.
set -euo pipefail
cd "$(dirname "$0")/.."

secs=20 churn_joins=200 crowd=100
if [ "${1:-}" = --quick ]; then secs=4 churn_joins=40 crowd=50; fi

note() { printf '==> %s\n' "$*" >&2; }

if [ -z "${BIN:-}" ]; then
  # shellcheck source=scripts/env.sh
  . scripts/env.sh
  note "building the release"
  cargo build --release --locked >&2
  BIN=${CARGO_TARGET_DIR:-target}/release/realsense-webrtc
fi

work=$(mktemp -d)
server=
# Invoked by the trap.
# shellcheck disable=SC2317
clean_up() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT

# More viewers than the default limit allows, and no lifetime that could end within the measurement.
printf '[sessions]\nlimit = 250\nmax_lifetime_s = 0\n' >"$work/bench.toml"
"$BIN" --sim-cameras 1 --listen 127.0.0.1:0 --config "$work/bench.toml" >"$work/log" 2>&1 &
server=$!
url=
for _ in $(seq 300); do
  # Colours of the log may surround the address.
  url=$(sed -n 's|.*listening on \(http://127\.0\.0\.1:[0-9]*\).*|\1|p' "$work/log" | head -n 1)
  [ -n "$url" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.1
done
[ -n "$url" ] || { note "the server does not listen:"; cat "$work/log" >&2; exit 1; }
note "server $server at $url"

# number FILE GROUP KEY: a number out of {"GROUP":{…"KEY":n…}}, or of the top level when GROUP is empty.
number() {
  if [ -n "$2" ]; then sed -n "s/.*\"$2\":{[^}]*\"$3\":\(-\{0,1\}[0-9.e-]*\).*/\1/p" "$1"
  else sed -n "s/.*\"$3\":\(-\{0,1\}[0-9.e-]*\).*/\1/p" "$1"; fi
}
calc() { awk "BEGIN { printf \"%.2f\", $* }"; }
holds() { awk "BEGIN { exit !($*) }"; }

rows=() missed_budgets=0
# row WHAT MEASURED BUDGET CONDITION COMMAND; an empty budget is information only.
row() {
  local verdict=""
  if [ -n "$3" ]; then
    if holds "$4"; then verdict=yes; else verdict='**no**'; missed_budgets=$((missed_budgets + 1)); fi
  fi
  rows+=("| $1 | $2 | $3 | $verdict | \`$5\` |")
  note "$1: $2 ${3:+(budget: $3) }$verdict"
}
# load NAME ARGUMENTS…: runs a load into $work/NAME; the measurement counts whether or not a frame was missed.
load() {
  local name=$1
  shift
  note "probe load $*"
  "$BIN" probe load "$@" --secs "$secs" --json --url "$url" --pid "$server" >"$work/$name" 2>"$work/$name.err" || true
  [ -s "$work/$name" ] || { cat "$work/$name.err" >&2; tail -n 20 "$work/log" >&2; exit 1; }
}

# The first session warms the process up (docs/decisions.md); its streams have stopped when the linger is over.
load warm --viewers 1 --streams color,depth
sleep 6
load idle --viewers 0
idle=$(number "$work/idle" server cpu_percent)
row "Idle, no viewer: CPU" "$idle % of a core" "< 1 %" "$idle < 1" "probe load --viewers 0"

for viewers in 1 5 10 20 $((crowd - 20)) "$crowd"; do
  load "color$viewers" --viewers "$viewers" --join-interval-ms 100
  cpu=$(number "$work/color$viewers" server cpu_percent)
  rss=$(number "$work/color$viewers" server rss_mib)
  missed=$(number "$work/color$viewers" "" missed)
  fps=$(number "$work/color$viewers" fps mean)
  row "$viewers viewers of colour" \
    "$(calc "$cpu") % of a core, $(calc "$rss") MiB, $(calc "$fps") fps each, $missed frames missed" "" "" \
    "probe load --viewers $viewers"
done

load both --viewers 10 --streams color,depth --join-interval-ms 100
cpu=$(number "$work/both" server cpu_percent)
missed=$(number "$work/both" "" missed)
row "10 viewers of colour + depth: CPU" "$(calc "$cpu") % of a core" "< 60 %" "$cpu < 60" \
  "probe load --viewers 10 --streams color,depth"
row "10 viewers of colour + depth: frames missed" "$missed of $(number "$work/both" "" frames)" "0" "$missed == 0" \
  "probe load --viewers 10 --streams color,depth"

# What one viewer more costs: between two loads, so that the noise of one viewer's share averages out.
marginal() { # NAME FEW MANY
  local cpu rss
  cpu=$(calc "($(number "$work/color$3" server cpu_percent) - $(number "$work/color$2" server cpu_percent)) / ($3 - $2)")
  rss=$(calc "($(number "$work/color$3" server rss_mib) - $(number "$work/color$2" server rss_mib)) / ($3 - $2)")
  row "$1 viewer of one stream: CPU" "$cpu % of a core" "< 0.9 %" "$cpu < 0.9" "load of $3 less load of $2"
  row "$1 viewer of one stream: memory" "$rss MiB" "< 1.2 MB" "$rss * 1.048576 < 1.2" "load of $3 less load of $2"
}
marginal 11th 10 20
marginal "${crowd}th" $((crowd - 20)) "$crowd"

for at in color1:alone color10:"with 10"; do
  file=$work/${at%%:*}
  row "First packet after the offer request, ${at#*:}" \
    "p50 $(calc "$(number "$file" first_packet_ms p50)") ms, max $(calc "$(number "$file" first_packet_ms max)") ms" "" "" \
    "probe load --viewers …"
done
p50=$(number "$work/color10" first_frame_ms p50)
row "First complete frame after the offer request, stream running" "p50 $(calc "$p50") ms" "< 200 ms" "$p50 < 200" \
  "probe load --viewers 10"

note "probe churn --joins $churn_joins"
"$BIN" probe churn --joins "$churn_joins" --json --url "$url" --pid "$server" >"$work/churn" 2>"$work/churn.err" || true
[ -s "$work/churn" ] || { cat "$work/churn.err" >&2; exit 1; }
gap=$(number "$work/churn" "" longest_gap_ms)
command="probe churn --joins $churn_joins"
row "$churn_joins sessions join and leave: longest gap of a viewer" "$(calc "$gap") ms" "< 200 ms" "$gap < 200" "$command"
for what in threads fds rss_mib; do
  before=$(number "$work/churn" before "$what") after=$(number "$work/churn" after "$what")
  slack=0
  if [ "$what" = rss_mib ]; then slack=10; fi
  row "$churn_joins sessions join and leave: $what" "$(calc "$before") → $(calc "$after")" "back (± $slack)" \
    "$after <= $before + $slack" "$command"
done

browser_bench=${BROWSER_BENCH:-}
if [ -z "$browser_bench" ] && [ -x scripts/bench_browser.sh ]; then browser_bench=scripts/bench_browser.sh; fi
browser_rows=
if [ -n "$browser_bench" ]; then
  note "$browser_bench $url"
  browser_rows=$("$browser_bench" "$url") || note "$browser_bench failed"
fi

cpu_model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
memory=$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)
os=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-Linux}")
cat <<REPORT
Machine: $(nproc) × ${cpu_model:-unknown CPU}, $memory, $os, Linux $(uname -r)
Date: $(date -u +%F)
Version: $("$BIN" --version | tr '\n' ' '), revision $(git rev-parse --short HEAD 2>/dev/null || echo unknown)
Command: \`scripts/bench.sh${1:+ $1}\`; each load is measured for $secs s, server and receivers share the machine.

| What | Measured | Budget | Met | Command |
|---|---|---|---|---|
$(printf '%s\n' "${rows[@]}")
${browser_rows}
REPORT
[ "$missed_budgets" = 0 ]
