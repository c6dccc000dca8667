#!/usr/bin/env bash
# Fetches the vendor's librealsense library for the server, which loads it when it starts. Debian has no package of it, so this
# script takes it out of the vendor's Python package on PyPI, which contains the whole library with its C interface.
#
#   scripts/get_librealsense.sh [VERSION [DEST]]   default: 2.56.5.9235 into ~/.cache/realsense-webrtc/librealsense/VERSION
#   scripts/get_librealsense.sh --all              every known version, each into its default folder
#
# Prints the path of librealsense2.so on standard output, one line a version; everything else goes to standard error.
# Known versions: 2.56.5.9235 (records and plays .bag) and 2.59.1.11053 (records .db3, plays both).
# Needs python3 with pip, gcc, binutils and patchelf; the library needs libusb-1.0-0 and libudev1. install_deps.sh installs all of
# them. If the library is there already, this takes a moment. It needs no root.
set -euo pipefail

known_versions=(2.56.5.9235 2.59.1.11053)
default_version=${known_versions[0]}
# Part of the stamp: raise it when this script makes something else of the same wheel.
recipe=1

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() {
  cat >&2 <<END
error: $*
You can also install the library from the vendor's apt repository (package librealsense2), or build it from
https://github.com/realsenseai/librealsense. Then tell the server where it is: REALSENSE_WEBRTC__REALSENSE__LIBRARY=FILE.
Without the library the simulated camera works, but real cameras and recordings do not.
END
  exit 1
}

machine=$(uname -m)
case $machine in
  # The oldest tags PyPI has for every known version; the C library inside is the same for each Python.
  x86_64) platform=manylinux1_x86_64 python_version=3.11 ;;
  # Not tested: no such machine was at hand. The wheels need glibc 2.34, which Debian 12 exceeds.
  aarch64) platform=manylinux2014_aarch64 python_version=3.10 ;;
  *) fail "The vendor publishes no wheel for $machine." ;;
esac

wheel_sha256() {
  case $1-$machine in
    2.56.5.9235-x86_64) echo 76d384ea99f257b4697a82cb3581b05cc69fadfd0701021ad76da098a3e240f0 ;;
    2.59.1.11053-x86_64) echo 04593436a55be82f147a485a261a601e35b49b2a3b25c35e2ad6eb5a775bdde1 ;;
    2.56.5.9235-aarch64) echo d68a174f5c3bf43d6eef3aac0de114b4802052c8a98a92dcbb8ecca0f98509d4 ;;
    2.59.1.11053-aarch64) echo c0f34b49bb6d13c59d506d34de59aa9ffbddecf3f87976f688eaf8a13f6278fa ;;
    *) fail "No checksum is known for librealsense '$1'. Known versions: ${known_versions[*]}." ;;
  esac
}

need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null || fail "'$1' is missing. Run scripts/install_deps.sh, or: apt-get install $2"
}

# Sets $python to a Python 3 that has pip; Debian's own may stand beside another one without.
find_pip() {
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && return
  done
  fail "There is no python3 with pip. Run scripts/install_deps.sh, or: apt-get install python3-pip"
}

# Makes DIR/lib from the wheel of VERSION.
build() { # build VERSION SHA256 DIR
  local version=$1 sha256=$2 dir=$3 abi lib wheel
  abi=$(echo "$version" | cut -d. -f1-2)
  lib=$dir/lib/librealsense2.so.$abi
  say "Fetching librealsense $version from PyPI (about 13 MB)"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --platform "$platform" \
    --python-version "$python_version" --dest "$dir/wheel" "pyrealsense2==$version" >&2 ||
    fail "pip could not fetch pyrealsense2 $version. Can this machine reach PyPI, or the mirror that pip is configured for?"
  wheel=$(echo "$dir"/wheel/pyrealsense2-*.whl)
  echo "$sha256  $wheel" | sha256sum --check --quiet - >&2 ||
    fail "$(basename "$wheel") has the wrong checksum: it is not the file that this script was tested with."
  "$python" -m zipfile -e "$wheel" "$dir/unpacked"
  mkdir "$dir/lib"
  mv "$dir"/unpacked/pyrealsense2/pyrealsense2.cpython-*-linux-gnu.so "$lib"
  ln -s "librealsense2.so.$abi" "$dir/lib/librealsense2.so"

  # The module refers to Python's symbols, which the C interface never touches. Zeroed stand-ins let the loader resolve
  # them without a Python in the process.
  nm -D --undefined-only "$lib" | awk '$1 == "U" && $2 ~ /^_?Py/ { print "long " $2 "[64];" }' |
    cc -shared -fPIC -s -x c -o "$dir/lib/librs2pystub.so" -Wl,-soname,librs2pystub.so -
  # One change a call: patchelf 0.14.3 of Debian 12 corrupts the string table when it is given several.
  patchelf --set-soname "librealsense2.so.$abi" "$lib"
  patchelf --add-needed librs2pystub.so "$lib"
  patchelf --set-rpath "\$ORIGIN" "$lib"
  rm -rf "$dir/wheel" "$dir/unpacked"

  # RTLD_NOW (2): a missing library or symbol shows here, not when the first camera starts.
  "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1], mode=2).rs2_get_api_version' "$lib" >&2 ||
    fail "The library cannot be loaded; the reason is printed above. Run scripts/install_deps.sh, or: apt-get install libusb-1.0-0 libudev1"
}

get() { # get VERSION DEST
  local version=$1 dest=$2 sha256 stamp
  sha256=$(wheel_sha256 "$version")
  stamp="$version $sha256 $recipe"
  if [ "$(cat "$dest/complete" 2>/dev/null)" != "$stamp" ]; then
    mkdir -p "$(dirname "$dest")"
    dest=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest")
    # Two calls at once: the second waits, and finds the work done.
    exec 9>"$dest.lock"
    flock 9
    if [ "$(cat "$dest/complete" 2>/dev/null)" != "$stamp" ]; then
      # Anything else of the user's must not be swept away.
      if [ -e "$dest" ] && [ -n "$(ls -A "$dest")" ] && [ ! -e "$dest/complete" ]; then
        fail "$dest exists, but this script did not make it. Choose another folder, or remove it."
      fi
      need cc gcc && need nm binutils && need patchelf patchelf && need sha256sum coreutils && find_pip
      work=$(mktemp -d "$dest.XXXXXX")
      trap 'rm -rf "$work"' EXIT
      build "$version" "$sha256" "$work"
      echo "$stamp" >"$work/complete"
      chmod -R u=rwX,go=rX "$work"
      # In one step, so that nobody ever finds half a library.
      rm -rf "$dest"
      mv -T "$work" "$dest"
      trap - EXIT
      say "librealsense $version is in $dest/lib"
    fi
    rm -f "$dest.lock"
    exec 9>&-
  fi
  echo "$dest/lib/librealsense2.so"
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc/librealsense
case ${1:-} in
  -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" ;;
  --all) for version in "${known_versions[@]}"; do get "$version" "$cache/$version"; done ;;
  -*) fail "Unknown option $1. Usage: scripts/get_librealsense.sh [VERSION [DEST]] | --all" ;;
  *) get "${1:-$default_version}" "${2:-$cache/${1:-$default_version}}" ;;
esac
