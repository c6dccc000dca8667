#!/usr/bin/env bash
# Measures what looking inside costs: a server with a simulated camera and 10 viewers, its CPU with measuring off, with
# measuring on, and with measuring on while the graph is fetched as JSON every second, as the page does. Prints a Markdown table.
#   scripts/bench_debug.sh             three rounds of each, about five minutes
#   scripts/bench_debug.sh --quick     one round, for trying the script out
# Environment: BIN=path/to/realsense-webrtc measures that program (default: the release build, which is built first).
#              STREAMS=color,depth   streams of every viewer (default: color).
# Exits 0 when measuring costs less than 3 % of a core, 1 when it does not.
set -euo pipefail
cd "$(dirname "$0")/.."

secs=20 rounds=3 viewers=10 streams=${STREAMS:-color}
if [ "${1:-}" = --quick ]; then secs=8 rounds=1; fi
device=844212070924

note() { printf '==> %s\n' "$*" >&2; }

if [ -z "${BIN:-}" ]; then
  # shellcheck source=scripts/env.sh
  . scripts/env.sh
  note "building the release"
  cargo build --release --locked >&2
  BIN=${CARGO_TARGET_DIR:-target}/release/realsense-webrtc
fi

work=$(mktemp -d)
server='' polling=''
# Invoked by the trap.
# shellcheck disable=SC2317
clean_up() {
  if [ -n "$polling" ]; then kill "$polling" 2>/dev/null || true; fi
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT

"$BIN" --sim-cameras 1 --listen 127.0.0.1:0 >"$work/log" 2>&1 &
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
graph=$url/api/debug/graph/$device.json

# The server's threads of a name.
threads() { cat "/proc/$server/task/"*/comm 2>/dev/null | grep -c "^$1" || true; }

# load: the server's CPU in percent of a core, once everybody has a picture.
load() {
  "$BIN" probe load --viewers "$viewers" --streams "$streams" --secs "$secs" --json --url "$url" --pid "$server" \
    >"$work/load" 2>"$work/load.err" || true
  [ -s "$work/load" ] || { cat "$work/load.err" >&2; tail -n 20 "$work/log" >&2; exit 1; }
  sed -n 's/.*"server":{[^}]*"cpu_percent":\(-\{0,1\}[0-9.e-]*\).*/\1/p' "$work/load"
}

round() { # off|on|polled
  case $1 in
    off) ;;
    *) curl -fsS -o "$work/graph" "$graph?measure=600" ;;
  esac
  if [ "$1" = polled ]; then
    (while sleep 1; do curl -fsS -o /dev/null "$graph" || true; done) &
    polling=$!
  fi
  local cpu
  cpu=$(load)
  if [ "$1" = polled ]; then
    kill "$polling" 2>/dev/null || true
    wait "$polling" 2>/dev/null || true
    polling=
  fi
  echo "$cpu" >>"$work/$1"
  note "$1: $cpu % of a core, $(threads media-meter) media-meter and $(threads media-inspect) media-inspect threads"
}

note "warming up"
load >/dev/null
for number in $(seq "$rounds"); do
  note "round $number of $rounds"
  round off
  round on
  round polled
  # Measuring ends by itself; here it is waited for no longer than it takes to start anew.
  curl -fsS -o "$work/graph" "$graph"
  grep -q '"measured":true' "$work/graph" || { note "measuring was not on"; exit 1; }
  if [ "$number" -lt "$rounds" ]; then
    kill "$server"
    wait "$server" 2>/dev/null || true
    "$BIN" --sim-cameras 1 --listen "${url#http://}" >"$work/log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
      grep -q 'listening on' "$work/log" && break
      sleep 0.1
    done
    load >/dev/null
  fi
done

median() { sort -n "$work/$1" | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
off=$(median off) on=$(median on) polled=$(median polled)
printf '| %s viewers of %s | CPU, %% of a core (median of %s) | more than off |\n|---|---|---|\n' "$viewers" "$streams" "$rounds"
awk -v off="$off" -v on="$on" -v polled="$polled" 'BEGIN {
  printf "| measuring off | %.2f | |\n", off
  printf "| measuring on | %.2f | %+.2f |\n", on, on - off
  printf "| measuring on, graph fetched every second | %.2f | %+.2f |\n", polled, polled - off
  exit !(on - off < 3 && polled - off < 3)
}'
