#!/usr/bin/env bash
# Builds the Dockerfile's images and runs them, on a machine without Docker and without access to Docker Hub: in a Debian
# of its own with Debian's Docker engine, on base images that debootstrap makes. Then runs the test suite in each Debian.
# Prints the duration of each step. docs/background/tested.md has the results.
#
#   sudo scripts/prove_image.sh trixie | bookworm | both
#     --work DIR         where the chroot and Docker's images are kept between runs [default: /var/tmp/realsense-webrtc-image]
#     --toolchain DIR    Rust toolchain that goes into the stand-in for the image rust:… [default: that of the rustc here]
#     --cargo-deny FILE  cargo-deny to put beside it; otherwise the test suite builds it [default: the one in the PATH]
#     --apt-conf DIR     settings of apt (/etc/apt/apt.conf.d) to copy into the base images
#     --ca FILE          certificates (PEM) to trust besides Debian's, where a proxy ends TLS
#     --mirror URL       Debian mirror [default: http://deb.debian.org/debian]
#     --no-suite         without the test suite
#     --no-cache         build every layer anew, which gives the times of a first build
#
# Needs root, debootstrap and util-linux, and 25 GB of disk while the test suite runs. Everything runs in its own mount, process and
# network namespaces: nothing stays mounted, no process stays behind, and no port of this machine is opened. To remove all of it,
# remove DIR.
set -euo pipefail
script=$(readlink -f "$0")
repository=$(dirname "$(dirname "$script")")
work=/var/tmp/realsense-webrtc-image mirror=http://deb.debian.org/debian
toolchain='' cargo_deny='' apt_conf='' ca='' suite=1 no_cache='' debians=()

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { echo "error: $*" >&2; exit 1; }

options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --work) work=$2; shift ;;
      --toolchain) toolchain=$2; shift ;;
      --cargo-deny) cargo_deny=$2; shift ;;
      --apt-conf) apt_conf=$2; shift ;;
      --ca) ca=$2; shift ;;
      --mirror) mirror=$2; shift ;;
      --no-suite) suite='' ;;
      --no-cache) no_cache=1 ;;
      bookworm | trixie) debians+=("$1") ;;
      both) debians+=(bookworm trixie) ;;
      -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$script"; exit ;;
      *) fail "unknown option $1; see --help" ;;
    esac
    shift
  done
  [ "${#debians[@]}" -gt 0 ] || fail "name a Debian: bookworm, trixie or both"
}

# --- What is measured -----------------------------------------------------------------------------------------------------

# Runs a step, notes its seconds, and shows its output if it fails: step NAME COMMAND…
step() {
  local name=$1 started=$EPOCHREALTIME log
  shift
  say "$name"
  log=$work/log/$(tr -c 'a-zA-Z0-9\n' _ <<<"$name").log
  # In the background, because as a condition the step would run on after a command of it that failed.
  (set -e; "$@") >"$log" 2>&1 </dev/null &
  if ! wait $!; then
    tail -n 60 "$log" >&2
    fail "$name failed; all of it is in $log"
  fi
  note "$name" "$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')"
}
note() { printf '%-58s %s\n' "$1" "$2" | tee -a "$work/summary"; }

# --- Outside: file systems ------------------------------------------------------------------------------------------------

# A minimal Debian with what this network needs: bootstrap NAME DIR PACKAGES
bootstrap() {
  local name=$1 dir=$2
  debootstrap --variant=minbase ${3:+--include="$3"} "$name" "$dir" "$mirror"
  cp /etc/resolv.conf /etc/hosts "$dir/etc/"
  if [ -n "$apt_conf" ]; then cp "$apt_conf"/* "$dir/etc/apt/apt.conf.d/"; fi
  if [ -n "$ca" ]; then
    mkdir -p "$dir/usr/local/share/ca-certificates"
    # One certificate a file, as update-ca-certificates wants them; it runs when ca-certificates is installed.
    awk -v dir="$dir/usr/local/share/ca-certificates" \
      '/BEGIN CERT/ { file = dir "/extra-" ++n ".crt"; on = 1 } on { print > file } /END CERT/ { on = 0; close(file) }' "$ca"
    if [ -x "$dir/usr/sbin/update-ca-certificates" ]; then chroot "$dir" update-ca-certificates >/dev/null 2>&1; fi
  fi
}

tools='docker.io docker-cli docker-buildx docker-compose iptables iproute2 curl udev umockdev'
make_workshop() {
  rm -rf --one-file-system "$work/workshop" "$work/workshop.new"
  bootstrap trixie "$work/workshop.new" ca-certificates
  chroot "$work/workshop.new" sh -c "apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $tools"
  echo "$tools" >"$work/workshop.new/tools"
  mv "$work/workshop.new" "$work/workshop"
}

# The stand-in for debian:NAME-slim, without documentation as there.
make_debian() {
  local name=$1 dir=$work/root-$1
  rm -rf "$dir"
  bootstrap "$name" "$dir" ''
  printf 'path-exclude %s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*' \
    >"$dir/etc/dpkg/dpkg.cfg.d/docker"
  printf 'path-include %s\n' '/usr/share/doc/*/copyright' >>"$dir/etc/dpkg/dpkg.cfg.d/docker"
  printf 'Acquire::Languages "none";\n' >"$dir/etc/apt/apt.conf.d/docker-no-languages"
  find "$dir/usr/share/doc" -type f ! -name copyright -delete
  rm -rf "$dir"/usr/share/{man,locale,info}/* "$dir"/var/cache/apt/* "$dir"/var/lib/apt/lists/* "$dir"/var/log/*
  tar -C "$dir" -c . >"$work/base/debian-$name.tar.new"
  mv "$work/base/debian-$name.tar.new" "$work/base/debian-$name.tar"
  rm -rf "$dir"
}

# What makes the stand-in for rust:VERSION-slim-NAME out of the one above: the toolchain of this machine, without its books.
make_toolchain() {
  local dir=$work/root-rust
  rm -rf "$dir"
  mkdir -p "$dir/usr/local/rustup" "$dir/usr/local/cargo/bin"
  tar -C "$toolchain" --exclude=./share/doc --exclude=./lib/rustlib/src -c . | tar -C "$dir/usr/local/rustup" -x
  if [ -n "$cargo_deny" ]; then cp "$cargo_deny" "$dir/usr/local/cargo/bin/"; fi
  tar -C "$dir" -c . >"$work/base/rust/rust.tar.new"
  mv "$work/base/rust/rust.tar.new" "$work/base/rust/rust.tar"
  rm -rf "$dir"
}

outside() {
  [ "$(id -u)" = 0 ] || fail "chroot and namespaces need root: sudo $0 $*"
  for tool in debootstrap unshare; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install debootstrap util-linux"
  done
  if [ -z "$toolchain" ]; then toolchain=$(rustc --print sysroot) || fail "no rustc is here: give --toolchain DIR"; fi
  if [ -z "$cargo_deny" ]; then cargo_deny=$(command -v cargo-deny || true); fi
  mkdir -p "$work/log" "$work/base/rust"
  work=$(readlink -f "$work")
  : >"$work/summary"
  [ "$(cat "$work/workshop/tools" 2>/dev/null)" = "$tools" ] || step "Workshop: debootstrap of trixie, Docker from Debian" make_workshop
  for name in bookworm trixie; do
    # Bookworm always: the program is built there.
    if [ "$name" = bookworm ] || [[ " ${debians[*]} " == *" $name "* ]]; then
      [ -e "$work/base/debian-$name.tar" ] || step "Base image: debootstrap of $name" make_debian "$name"
    fi
  done
  [ -e "$work/base/rust/rust.tar" ] || step "Base image: the Rust toolchain" make_toolchain
  # Building needs the network of this machine; running gets one of its own, without a way out.
  namespace build
  namespace run --net
  say "Summary (also in $work/summary)"
  cat "$work/summary"
}

# Goes on inside: namespace PHASE [unshare's options]. With the process namespace everything in it ends when this does.
namespace() {
  local phase=$1
  shift
  unshare --mount --propagation private --pid --fork --kill-child "$@" \
    "$script" --inside "$phase" "$work" "$repository" "$suite" "$no_cache" "${debians[*]}"
}

# --- Inside ---------------------------------------------------------------------------------------------------------------

enter() {
  local root=$2/workshop
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  # Device nodes of its own, so that trials with nodes of cameras leave the machine's alone.
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  mkdir "$root"/dev/{pts,shm,mqueue,bus}
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
  for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<<"$node"
    mknod -m 666 "$root/dev/$name" c "$major" "$minor"
  done
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mkdir -p "$root/work" "$root/repository"
  mount --bind "$2" "$root/work"
  mount --bind -o ro "$3" "$root/repository"
  cp /etc/resolv.conf "$root/etc/"
  # Not chroot: who enters a container (docker exec, health checks) comes to the root of its mount namespace first.
  mkdir -p "$root/outside"
  cd "$root"
  pivot_root . outside
  exec env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . sh -c 'umount -l /outside && exec "$@"' sh \
    /repository/scripts/prove_image.sh --workshop "$1" /work /repository "$4" "$5" "$6"
}

start_engine() {
  export DOCKER_HOST=unix:///run/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root /work/docker "$@" >"$work/log/dockerd-$phase.log" 2>&1 &
  engine=$!
  for _ in $(seq 150); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 20 "$work/log/dockerd-$phase.log" >&2
  fail "Docker's engine does not start here"
}

stop_engine() {
  if [ -z "${engine:-}" ]; then return; fi
  docker ps -q | xargs -r docker rm -f >/dev/null
  kill "$engine"
  wait "$engine" || true
}

import() { # import IMAGE TAR [CHANGE…]
  local image=$1 tar=$2 change changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  # An image whose base changed is another image, and every layer on it is built again.
  [ "$(docker image inspect -f '{{.Created}}' "$image" 2>/dev/null)" \> "$(date -u -r "$tar" +%FT%T)" ] ||
    docker import "${changes[@]}" "$tar" "$image" >/dev/null
}

image_size() { docker image inspect -f '{{.Size}}' "$1" | awk '{ printf "%.0f MB", $1 / 1e6 }'; }

build() { docker build --network host --progress plain ${no_cache:+--no-cache} "$@" "$repository"; }

rust_stand_in() { # rust_stand_in VERSION NAME
  # The official image has these packages too.
  docker build --network host -t "rust:$1-slim-$2" -f - "$work/base/rust" <<END
FROM debian:$2-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ADD rust.tar /
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/rustup/bin:\$PATH
END
}

# As the guide says: another package on top, here for a clock in the picture.
own_image() { # own_image NAME
  docker build --network host -t "realsense-webrtc-own:$1" - <<END
FROM realsense-webrtc:$1
USER root
RUN apt-get update && apt-get install -y --no-install-recommends gstreamer1.0-x && realsense-webrtc --version \\
 && sed -i 's/^! videoconvert .*/& ! clockoverlay/' /etc/realsense-webrtc/pipelines/color.h264.gst \\
 && grep clockoverlay /etc/realsense-webrtc/pipelines/color.h264.gst
USER 10001
END
}

phase_build() {
  start_engine --bridge=none --iptables=false --ip6tables=false
  # What earlier runs left without a name.
  { docker container prune -f; docker image prune -f; } >/dev/null
  note "Docker engine, as Debian 13 packages it" "$(docker version -f '{{.Server.Version}}')"
  local rust name
  rust=$(sed -n 's/^ARG RUST_VERSION=//p' "$repository/Dockerfile")
  for name in bookworm trixie; do
    [ -e "$work/base/debian-$name.tar" ] || continue
    import "debian:$name-slim" "$work/base/debian-$name.tar" 'CMD ["bash"]'
    step "Stand-in for rust:$rust-slim-$name" rust_stand_in "$rust" "$name"
  done
  step "librealsense, from PyPI" build --target librealsense
  step "The program, release build" build --target build
  for name in "${debians[@]}"; do
    step "$name: what running needs" build --target "runtime-$name" -t "realsense-webrtc-packages:$name"
    step "$name: the image" build --target "$name" -t "realsense-webrtc:$name"
    note "$name: base image" "$(image_size "debian:$name-slim")"
    note "$name: image" "$(image_size "realsense-webrtc:$name")"
    note "$name: with whole packages it would have about" "$(image_size "realsense-webrtc-packages:$name")"
    step "$name: an image of one's own with another plugin" own_image "$name"
    if [ -n "$suite" ]; then
      step "$name: the test suite's tools" build --target test --build-arg "DEBIAN=$name" -t "realsense-webrtc-test:$name"
    fi
  done
}

# --- The images at work ---------------------------------------------------------------------------------------------------

# The image by compose.yaml, until it is healthy; if it is not, its log says why.
up() {
  compose up -d --no-build --wait "$1" || {
    compose logs "$1"
    docker inspect -f '{{json .State.Health}}' "$(compose ps -qa "$1")"
    return 1
  }
}
compose() {
  docker compose --project-directory "$repository" --file "$repository/compose.yaml" --file /tmp/simulate.yaml --project-name prove \
    --profile bridged "$@"
}

# As a person adds to compose.yaml to try it without a camera.
simulate() {
  cat >/tmp/simulate.yaml <<END
services:
  realsense-webrtc: &simulated
    environment:
      REALSENSE_WEBRTC__CAMERA__SIM_CAMERAS: auto
  bridged: *simulated
END
}

# What is expected of SERVICE's container besides an answer: no root, no rights, nothing to write but the recordings.
hardened() {
  local container=$1
  docker exec "$container" sh -euc '
    id; grep -E "^(Uid|CapEff|CapBnd|NoNewPrivs)" /proc/1/status
    [ "$(id -u)" = 10001 ]; id -G | grep -qw 44; id -G | grep -qw 46
    grep -q "^CapBnd:.0000000000000000$" /proc/1/status; grep -q "^NoNewPrivs:.1$" /proc/1/status
    touch recordings/x; rm recordings/x; touch /tmp/x
    if touch /usr/local/bin/x || touch /etc/realsense-webrtc/x; then exit 1; fi'
}

# A camera that is plugged in while the container runs: its new nodes are there and may be opened, which without such a
# device fails with ENXIO or ENODEV; what no rule allows fails with EPERM.
replugged() {
  local container=$1 minor=$((RANDOM % 100 + 20)) said
  mkdir -p /dev/bus/usb/009
  mknod -m 660 "/dev/bus/usb/009/$minor" c 189 "$minor" && chgrp 46 "/dev/bus/usb/009/$minor"
  mknod -m 660 "/dev/video$minor" c 81 "$minor" && chgrp 44 "/dev/video$minor"
  mknod -m 666 "/dev/forbidden$minor" c 1 1
  for node in "bus/usb/009/$minor" "video$minor"; do
    said=$(docker exec "$container" sh -c "exec 3<>/dev/$node" 2>&1 || true)
    echo "/dev/$node: $said"
    [[ $said == *"No such device"* ]] || return 1
  done
  said=$(docker exec "$container" sh -c "exec 3</dev/forbidden$minor" 2>&1 || true)
  echo "/dev/forbidden$minor: $said"
  [[ $said == *"not permitted"* ]]
}

answers() { curl -sS --fail --max-time 5 "http://$1:8000/api/health" | tee -a "$work/log/health.json"; }

# What udev makes of a D435I by our rules, and of another device of the vendor's, a hub (2-2): nothing.
udev_rules() {
  local usb=/sys/devices/pci0000:00/0000:00:14.0/usb2 path group judged
  "$repository/scripts/install_udev_rules.sh"
  udevadm verify
  while read -r group path; do
    judged=$(umockdev-run -d "$repository/tests/udev/d435i.umockdev" -- udevadm test --action=add "$usb/$path" 2>&1)
    echo "--- $path"
    echo "$judged"
    if [ "$group" = none ]; then
      if [[ $judged == *realsense-webrtc.rules:* || $judged == *'RUN{builtin} : uaccess'* ]]; then return 1; fi
    else
      grep -A1 'Device node group' <<<"$judged" | grep -qw "$group"
      grep -A1 'Device node permission' <<<"$judged" | grep -qw 0660
      grep -q 'RUN{builtin} : uaccess' <<<"$judged"
    fi
  done <<END
plugdev 2-1
video 2-1/2-1:1.0/video4linux/video0
plugdev 2-1/2-1:1.5/0003:8086:0B3A.0001/HID-SENSOR-200073.1.auto/iio:device0
none 2-2
END
}

# A viewer on another machine: a container of its own network, tied to this one by a cable, that lets nothing in unasked.
start_viewer() {
  local pid
  docker run -d --rm --name viewer --network none --entrypoint sleep "realsense-webrtc:$1" infinity
  pid=$(docker inspect -f '{{.State.Pid}}' viewer)
  ip link add cable type veth peer name eth0 netns "$pid"
  ip address add 192.0.2.1/24 dev cable
  ip link set cable up
  nsenter -t "$pid" -n sh -euc '
    ip address add 192.0.2.2/24 dev eth0; ip link set eth0 up; ip route add default via 192.0.2.1
    iptables -A INPUT -p udp -m conntrack --ctstate NEW -j DROP'
}
view() { docker exec viewer realsense-webrtc probe --url "http://$1:8000" --streams color,depth --secs 5; }
is_false() { ! "$@"; }

serve() { # serve NAME: the image by compose.yaml, in both ways
  local name=$1 container
  docker tag "realsense-webrtc:$name" realsense-webrtc
  step "$name: compose up until healthy, host network" up realsense-webrtc
  container=$(compose ps -q realsense-webrtc)
  step "$name: no root, no capabilities, read-only" hardened "$container"
  step "$name: device nodes that come later may be opened" replugged "$container"
  step "$name: /api/health from outside" answers 127.0.0.1
  start_viewer "$name" >/dev/null
  step "$name: a viewer on another machine, host network" view 192.0.2.1
  note "$name: memory with the viewer gone" "$(docker stats --no-stream --format '{{.MemUsage}}' "$container" | cut -d/ -f1)"
  step "$name: compose stop" compose stop realsense-webrtc
  note "$name: exit status after the stop" "$(docker inspect -f '{{.State.ExitCode}}' "$container")"
  [ "$(docker inspect -f '{{.State.ExitCode}}' "$container")" = 0 ] || fail "the server did not end in order"
  compose down >/dev/null 2>&1

  export HOST_ADDRESS=192.0.2.1
  step "$name: compose up until healthy, bridged" up bridged
  step "$name: a viewer on another machine, bridged" view 192.0.2.1
  HOST_ADDRESS=127.0.0.1 step "$name: compose up again, another HOST_ADDRESS" up bridged
  step "$name: that viewer then gets nothing, as it should" is_false view 192.0.2.1
  compose down --volumes >/dev/null 2>&1
  docker rm -f viewer >/dev/null
}

api() { # api METHOD PATH: the server's answer
  curl -sS --fail-with-body --max-time 30 -X "$1" "http://127.0.0.1:8000/api/$2"
  echo
}

# librealsense inside the image, with its software device in place of a camera: streams, records, and plays what it recorded.
serve_sdk() { # serve_sdk NAME
  local options=(--network host --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges)
  local probe=(docker run --rm "${options[@]}" "realsense-webrtc:$1" probe --streams "color,depth" --device)
  local folder=/var/lib/realsense-webrtc/recordings file opened device=954212070924
  docker run -d --name sdk "${options[@]}" -e REALSENSE_WEBRTC__REALSENSE__SOFTWARE_DEVICE=true "realsense-webrtc:$1"
  until_healthy sdk
  api GET health
  "${probe[@]}" "$device"
  api POST "devices/$device/recording/start"
  sleep 3
  api POST "devices/$device/recording/stop"
  file=$(api GET recordings | sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
  docker cp "sdk:$folder/$file" /tmp/
  docker stop sdk
  docker run -d --name player "${options[@]}" "realsense-webrtc:$1"
  until_healthy player
  docker cp "/tmp/$file" "player:$folder/"
  opened=$(api POST "recordings/$file/open")
  echo "$opened"
  "${probe[@]}" "$(sed -n 's/.*"device_id":"\([^"]*\)".*/\1/p' <<<"$opened")"
  docker rm -f -v sdk player
}
# The image with another plugin: a pipeline file with an element that is missing would end the server at once.
serve_own() { # serve_own NAME
  docker run -d --name own --network host -e REALSENSE_WEBRTC__CAMERA__SIM_CAMERAS=1 "realsense-webrtc-own:$1"
  until_healthy own
  docker exec own realsense-webrtc probe
  docker rm -f -v own
}
until_healthy() {
  for _ in $(seq 60); do
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" != healthy ] || return 0
    sleep 1
  done
  docker logs "$1"
  return 1
}

phase_run() {
  local name
  ip link set lo up
  step "udev: a camera's devices go to plugdev and video" udev_rules
  start_engine
  simulate
  for name in "${debians[@]}"; do
    serve "$name"
    step "$name: librealsense streams, records and plays" serve_sdk "$name"
    step "$name: an image of one's own serves" serve_own "$name"
    note "$name: $(grep -ho '"sdk_version":"[^"]*"' "$work/log/$name"*librealsense*.log | head -n 1)" "answered by /api/health"
    if [ -n "$suite" ]; then
      step "$name: scripts/test.sh, all of it" \
        docker run --rm --init --shm-size 1g "realsense-webrtc-test:$name" nice -n 15 scripts/test.sh
      note "$name: $(grep -h -o 'GStreamer 1[0-9.]*' "$work/log/$name"*test_sh*.log | head -n 1) tests passed" \
        "$(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p; s/^# pass \([0-9]*\)$/\1/p' "$work/log/$name"*test_sh*.log |
          awk '{ n += $1 } END { print n }')"
    fi
  done
}

case ${1:-} in
  --inside) shift; enter "$@" ;;
  --workshop)
    phase=$2 work=$3 repository=$4 suite=$5 no_cache=$6
    read -r -a debians <<<"$7"
    trap stop_engine EXIT
    "phase_$phase"
    ;;
  *) options "$@"; outside "$@" ;;
esac
