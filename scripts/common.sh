# shellcheck shell=bash
# What the scripts here share. Source it:  . scripts/common.sh

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    echo "error: this command needs root, and sudo is not installed. As root, run: $*" >&2
    exit 1
  fi
}

# What the scripts fetch for this user lies here, a Rust included.
# shellcheck disable=SC2034 # for those that source this
cache=${XDG_CACHE_HOME:-$HOME/.cache}/realsense-webrtc

# Debian packages that the scripts installed, for scripts/uninstall.sh, one line each: "asked NAME", or "with NAME" for what came
# along. Only what was not there before.
brought=/var/lib/realsense-webrtc-packages

installed_packages() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u; }

# Installs Debian packages that are missing, and notes them with all that came along, also where that broke off. Nothing is removed
# for them.
install_packages() {
  local missing=() package before failed=0
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  say "Installing Debian packages: ${missing[*]}"
  before=$(installed_packages)
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=300 "${missing[@]}" || failed=$?
  {
    cat "$brought" 2>/dev/null || true
    for package in $(comm -13 <(echo "$before") <(installed_packages)); do
      if [[ " ${missing[*]} " == *" $package "* ]]; then echo "asked $package"; else echo "with $package"; fi
    done
  } | sort -u | as_root tee "$brought.new" >/dev/null
  as_root mv "$brought.new" "$brought"
  return "$failed"
}
