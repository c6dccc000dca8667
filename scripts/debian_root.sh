# shellcheck shell=bash
# Small Debians in a folder, made by debootstrap, and commands in them. Needs root and the package debootstrap. Source it, after
# common.sh and with `set -euo pipefail`.

# Folders of this machine that are the same in there.
bound=()

# The mirror that this machine's apt has for Debian itself, and not one of somebody else's repositories.
mirror() {
  # shellcheck disable=SC2016 # apt fills it in.
  apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | awk 'NR == 1'
}

# Makes a Debian once; an attempt that broke off begins anew. One that somebody made by hand is taken as it is.
make_debian() { # make_debian RELEASE FOLDER
  local from
  [ ! -e "$2/.debian" ] || return 0
  if [ ! -e "$2/.unfinished" ] && [ -n "$(ls -A "$2" 2>/dev/null)" ]; then
    [ -e "$2/etc/debian_version" ] || fail "$2 is neither empty nor a Debian. Choose another folder."
    return 0
  fi
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  from=$(mirror)
  [ -n "$from" ] || fail "apt on this machine has no mirror of Debian. Run apt-get update, or make a Debian in $2 by hand."
  say "Making a Debian $1 in $2, once"
  # What an attempt left that did not come to its end.
  rm -rf --one-file-system "$2"
  mkdir -p "$2"
  touch "$2/.unfinished"
  debootstrap --variant=minbase "$1" "$2" "$from"
  # No service is to start in there.
  printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d"
  chmod +x "$2/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf "$2/etc/resolv.conf"
  [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$2/etc/pip.conf"
  # And so does whom it trusts; the package ca-certificates reads them when it is installed.
  [ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$2/usr/local/share/"
  # What the machine's apt was told about its mirror and the way to it holds in there, too.
  apt-config dump | grep -iE '^Acquire::(https?::|Check-)' >"$2/etc/apt/apt.conf.d/90host" || true
  rm "$2/.unfinished"
  touch "$2/.debian"
}

# Runs a command in one, in a mount and process namespace of its own, so that mounts and processes end with the command.
inside() { # inside FOLDER COMMAND [ARGUMENT]…
  # shellcheck disable=SC2016 # The inner shell fills it in.
  unshare --mount --pid --fork --kill-child --propagation private -- bash -euc '
    root=$1 count=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    for folder in "${@:1:count}"; do
      mkdir -p "$root$folder"
      mount --bind "$folder" "$root$folder"
    done
    shift "$count"
    exec chroot "$root" /usr/bin/env "$@"' inside "$1" "${#bound[@]}" "${bound[@]}" "${@:2}"
}
