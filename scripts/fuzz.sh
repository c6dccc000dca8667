#!/usr/bin/env bash
# Feeds damaged input to what reads text from outside, one function of src/fuzz.rs after the other, and stops at the first finding.
# Installs what it needs first.
#   scripts/fuzz.sh SECONDS [TARGET…]   so long each; all targets unless named: answer body candidate config pipeline relay socket
#   scripts/fuzz.sh keep [TARGET…]      moves the found inputs that reach new code to tests/fuzz/corpus, which scripts/test.sh replays
# JOBS is how many processes work on a target at once (1). What is found lies in target/fuzz: inputs that reach
# new code in found/TARGET, inputs that fail in failing/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
usage() {
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
seconds=${1:-}
[ "$seconds" = keep ] || [ "$seconds" -gt 0 ] 2>/dev/null || usage
targets=("${@:2}")
if [ "${#targets[@]}" = 0 ]; then
  for file in tests/fuzz/targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
  [ -f "tests/fuzz/targets/$target.rs" ] || { echo "There is no target '$target'. The targets are in tests/fuzz/targets." >&2; usage; }
done

scripts/install_deps.sh --fuzz
. scripts/env.sh

# Sanitizers are unstable options of the compiler; the stable one takes them with this.
export RUSTC_BOOTSTRAP=1
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
places=(--fuzz-dir tests/fuzz --target-dir "$work")
# GStreamer keeps what it registers until the process ends, which the search for leaks would report.
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS:-}
for target in "${targets[@]}"; do
  say "Building '$target' (the first of them takes ten minutes)"
  cargo fuzz build "${places[@]}" "$target"
  kept=tests/fuzz/corpus/$target
  found=$work/found/$target
  artifacts=$work/failing/$target
  log=$work/$target.log
  mkdir -p "$kept" "$found" "$artifacts"
  if [ "$seconds" = keep ]; then
    # A new input is named after its content; what tests/fuzz/corpus has stays. Those that reach most come first, each for its
    # edges alone, and as many stay as src/fuzz.rs takes.
    cargo fuzz run "${places[@]}" "$target" "$kept" "$found" -- -set_cover_merge=1 -use_counters=0 -max_len=4096 -verbosity=0
    known=$(git ls-files "$kept" | wc -l)
    free=$((known < 150 ? 150 - known : 0))
    git ls-files --others -z "$kept" | xargs -0 -r ls -1tr | tail -n "+$((free + 1))" | xargs -r -d '\n' rm
    say "'$target' keeps $(find "$kept" -type f | wc -l) inputs. To get newer ones, remove some of the committed ones first"
    continue
  fi
  say "Running '$target' for $seconds s"
  options=(-max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=1
    -artifact_prefix="$artifacts/")
  [ -f "tests/fuzz/$target.dict" ] && options+=("-dict=tests/fuzz/$target.dict")
  if ! cargo fuzz run "${places[@]}" --jobs "${JOBS:-1}" "$target" "$found" "$kept" -- "${options[@]}" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    artifact=$(find "$artifacts" -type f -printf '%T@ %p\n' | sort -n | tail -n1 | cut -d' ' -f2-)
    echo "'$target' found something: ${artifact:-no input is kept; see $log}" >&2
    [ -z "$artifact" ] || echo "To run it again: RUSTC_BOOTSTRAP=1 cargo fuzz run ${places[*]} $target $artifact" >&2
    exit 1
  fi
  grep -E 'stat::number_of_executed_units|stat::new_units_added|stat::peak_rss_mb|DONE' "$log" | tail -n4
done
say "Nothing found"
