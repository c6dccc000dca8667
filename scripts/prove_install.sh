#!/usr/bin/env bash
# Does what a new user does, in a fresh Debian made by debootstrap: clones, runs start_demo.sh and receives a picture; runs install.sh
# and the service's command as the service's user with its restrictions; upgrades; runs uninstall.sh and checks what is left. Needs
# root.
#   scripts/prove_install.sh bookworm|trixie
# No toolchain is fetched in there: this machine's ~/.cargo and ~/.rustup are bound in, and so is a folder for what is built.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/debian_root.sh
. scripts/installed.sh
fail() { echo "scripts/prove_install.sh: $*" >&2; exit 1; }
release=${1:?bookworm or trixie}
[ "$(id -u)" = 0 ] || fail "run it as root: debootstrap and chroot need that."

base=$cache/prove/$release
make_debian "$release" "$base"
root=$(mktemp -d)
server=
end() {
  [ -z "$server" ] || kill -- "-$server" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap end EXIT
cp -a "$base/." "$root"
# A machine that runs services has it, and Debian 13 does not let its own init be removed.
inside "$root" env DEBIAN_FRONTEND=noninteractive bash -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd-sysv' >/dev/null
# Not in the cache, which uninstall.sh removes in there, and without our name, by which what is left is found.
target=/var/tmp/prove-install/target-$release
mkdir -p "$target"
bound=("$target")
# Where this machine's Rust lies elsewhere, install_deps.sh fetches one in there.
for folder in "$HOME/.cargo" "$HOME/.rustup"; do [ ! -d "$folder" ] || bound+=("$folder"); done
checkout=/opt/realsense-webrtc
git clone --quiet . "$root$checkout"
# Uncommitted changes, too: what is proven is what stands here.
git diff --binary HEAD | (cd "$root$checkout" && git apply --allow-empty)
# The network is this machine's.
port=$(python3 -c 'import socket; one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])')
url=http://127.0.0.1:$port

# Runs a command in the fresh Debian, where its checkout is.
there() {
  inside "$root" --chdir="$checkout" CARGO_TARGET_DIR="$target" LANG=C.UTF-8 "$@"
}
# What is ours outside of the checkout and the home folder: all of it has the name in its path.
files() {
  (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ".$HOME" -o -path ".$target" \
    -o -path ".$checkout" \) -prune -o -path '*realsense-webrtc*' -print | LC_ALL=C sort)
}
# shellcheck disable=SC2016 # dpkg-query fills it in
installed() { chroot "$root" dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort; }
expect() { # expect TEXT FILE
  grep -qF -- "$1" "$2" || { cat "$2"; fail "this was expected in the output above: $1"; }
}
log=$root/tmp/log

installed >"$root/tmp/packages.before"

# Starts a server there, waits until it is ready, runs a command of this script, and ends it.
serving() { # serving CHECK COMMAND…
  local check=$1
  shift
  # In a process group of its own, so that it can be ended with all that it started.
  set -m
  "$@" >"$log" 2>&1 &
  server=$!
  set +m
  for _ in $(seq 3600); do
    if grep -q 'listening on' "$log"; then break; fi
    kill -0 "$server" 2>/dev/null || { cat "$log"; fail "the server ended"; }
    sleep 1
  done
  "$check"
  kill -- "-$server"
  wait "$server" || true
  server=
}
picture() { there "$target/release/realsense-webrtc" probe watch --url "$url" --streams color,depth --secs 3 | tail -2; }
recording() {
  local device
  device=$(curl -sf "$url/api/devices/" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["device_id"])')
  curl -sf -X POST "$url/api/devices/$device/recording/start" >/dev/null
  picture
  curl -sf -X POST "$url/api/devices/$device/recording/stop" >/dev/null
}

say "$release: a picture by start_demo.sh"
serving picture there scripts/start_demo.sh --listen "127.0.0.1:$port"
expect "SIMULATED" "$log"

say "$release: install.sh"
there scripts/install.sh
for file in "$bin" "$unit" "$lib/librealsense/lib/librealsense2.so" "$etc/realsense-webrtc.toml" "$etc/pipelines/color.h264.gst" \
  /etc/udev/rules.d/70-realsense-webrtc.rules /etc/systemd/system/multi-user.target.wants/realsense-webrtc.service; do
  [ -e "$root$file" ] || [ -L "$root$file" ] || fail "install.sh did not install $file"
done
there systemd-analyze verify "$unit"
there scripts/install.sh --no-start >"$log"
grep -q '^  /' "$log" && { cat "$log"; fail "a second install.sh changed something"; }

# The unit's command as its user, with the groups, without capabilities, with everything read-only but its two folders, and without
# homes. systemd itself does not run in here.
as_service() { # as_service [VARIABLE=VALUE]…
  local command
  command=$(sed -n 's/^ExecStart=//p' "$root$unit")
  # shellcheck disable=SC2016,SC2086 # the inner shell fills it in; the command is several words
  there unshare --mount --propagation unchanged bash -euc '
    user=$1 state=$2 cached=$3
    shift 3
    install -d -o "$user" -g "$user" "$state" "$cached"
    mount --bind / /mnt && mount -o remount,bind,ro /mnt
    for folder in "$state" "$cached"; do mount --bind "$folder" "/mnt$folder"; done
    for folder in /proc /dev /sys; do mount --rbind "$folder" "/mnt$folder"; done
    mount -t tmpfs tmpfs /mnt/tmp
    mount -t tmpfs tmpfs /mnt/root
    exec chroot /mnt setpriv --reuid="$user" --regid="$user" --groups="$user,plugdev,video,render" --no-new-privs --bounding-set=-all \
      --inh-caps=-all env -i --chdir="$state" HOME="$state" XDG_CACHE_HOME="$cached" "$@"' \
    as_service "$user" "$state" /var/cache/realsense-webrtc "$@" $command
}
say "$release: the service, as its user"
serving true as_service "REALSENSE_WEBRTC__SERVER__LISTEN=127.0.0.1:$port"
expect "librealsense loaded" "$log"
expect "no camera was found" "$log"
serving recording as_service "REALSENSE_WEBRTC__SERVER__LISTEN=127.0.0.1:$port" REALSENSE_WEBRTC__REALSENSE__SOFTWARE_DEVICE=true
recorded=$(find "$root$state/recordings" -name '*.bag' -size +100k)
[ -n "$recorded" ] || fail "nothing was recorded into $state/recordings"

say "$release: an upgrade"
echo "# mine" >>"$root$etc/pipelines/depth.h264.gst"
echo "# mine" >>"$root$etc/realsense-webrtc.toml"
rm "$root$etc/pipelines/color.vp9.gst"
for file in color.h264 depth.h264 color.vp9; do echo "# newer" >>"$root$checkout/pipelines/$file.gst"; done
there scripts/install.sh >"$log"
expect "depth.h264.gst stays as you changed it" "$log"
expect "color.vp9.gst is not installed again" "$log"
grep -q '^# newer' "$root$etc/pipelines/color.h264.gst" || fail "install.sh did not upgrade a file that nobody changed"
grep -q '^# newer' "$root$etc/pipelines/depth.h264.gst" && fail "install.sh overwrote a pipeline file that was changed"
grep -q '^# mine' "$root$etc/realsense-webrtc.toml" || fail "install.sh overwrote the configuration"

say "$release: uninstall.sh"
there scripts/uninstall.sh --yes
left=$(files | grep -vE "^\.($etc(/pipelines)?|$etc/realsense-webrtc.toml|$etc/pipelines/depth.h264.gst|$state(/recordings(/.*)?)?)$" || true)
[ -z "$left" ] || fail "uninstall.sh leaves: $left"
for kept in "$state/recordings" "$etc/realsense-webrtc.toml"; do [ -e "$root$kept" ] || fail "uninstall.sh removed $kept, which it must keep"; done
there scripts/uninstall.sh --purge --yes
left=$(files)
[ -z "$left" ] || fail "uninstall.sh --purge leaves: $left"
left=$(comm -13 "$root/tmp/packages.before" <(installed))
[ -z "$left" ] || fail "uninstall.sh --purge leaves packages: $left"
grep -q "^$user:" "$root/etc/passwd" && fail "uninstall.sh --purge leaves the user $user"
[ ! -e "$root$cache" ] || fail "uninstall.sh --purge leaves $cache"
say "$release: everything was as expected"
