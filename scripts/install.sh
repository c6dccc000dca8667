#!/usr/bin/env bash
# Installs the server as a service that starts with this machine and can use a real camera: the program, librealsense, udev rules,
# a configuration and a systemd unit. Builds the program first. Run it as root, or as a user who may use sudo. To upgrade, run it
# again from a newer checkout. A second run of the same version changes nothing.
#   scripts/install.sh              builds, installs and starts
#   scripts/install.sh --no-start   neither starts nor restarts it
# Recordings, and files in /etc/realsense-webrtc that you changed, stay as they are. scripts/uninstall.sh takes away
# what this installed; with --purge also these.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/installed.sh

start=yes
case ${1:-} in
  '') ;;
  --no-start) start= ;;
  -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
  *) echo "error: unknown option $1; usage: $0 [--no-start]" >&2; exit 2 ;;
esac

scripts/install_deps.sh
install_packages systemd
. scripts/env.sh
say "Building (the first time takes a few minutes)"
cargo build --release --locked
built=${CARGO_TARGET_DIR:-target}/release/realsense-webrtc

# Stays there until the service has been restarted, also if this run breaks off.
restart_needed=$share/restart-needed
# A file of the project's is compared and put as root: not everybody may look into all of these.
there() { as_root test -e "$1"; }
same() { as_root cmp -s "$1" "$2"; }
put() { # put MODE FILE PLACE [GROUP]
  if ! same "$2" "$3" || [ "$(as_root stat -c %a%G "$3")" != "$1${4:-root}" ]; then
    as_root install -D -m 644 /dev/null "$restart_needed"
    as_root install -D -m "$1" -g "${4:-root}" "$2" "$3"
    echo "  $3"
  fi
}

# The same for a file that a person may have changed: theirs stays. LAST is what was installed there last, for comparison.
put_unless_edited() { # put_unless_edited MODE FILE PLACE LAST [GROUP]
  if ! there "$3" && there "$4"; then
    echo "  $3 is not installed again, because it was removed by hand"
  elif ! there "$3" || same "$4" "$3"; then
    put "$1" "$2" "$3" "${5:-root}"
  elif ! same "$2" "$3" && ! same "$2" "$4"; then
    echo "  $3 stays as you changed it. The new version's file is different: compare them with sudo diff $3 $4"
  fi
  put 644 "$2" "$4"
}

# What the person has is the new program's to judge, before anything is replaced: a key may be gone. The list of plugins that
# GStreamer makes meanwhile belongs to the service.
judge() { as_root env XDG_CACHE_HOME="$scratch" "$1" config check --config "$etc/realsense-webrtc.toml"; }
if there "$etc/realsense-webrtc.toml"; then judge "$built" >/dev/null; fi

say "Installing the user $user, who may open cameras"
put 644 packaging/realsense-webrtc.sysusers "$sysusers"
as_root systemd-sysusers "$sysusers"
scripts/install_udev_rules.sh

# One of the vendor's packages, where there is one that fits, comes before it.
say "Installing librealsense in $lib"
library=$(scripts/get_librealsense.sh)
fetched=$(dirname "$(dirname "$library")")
if ! same "$fetched/complete" "$lib/librealsense/complete"; then
  as_root install -d -m 755 "$lib"
  as_root rm -rf "$lib/librealsense"
  as_root cp -r --no-preserve=ownership "$fetched" "$lib/librealsense"
  as_root chmod -R u=rwX,go=rX "$lib/librealsense"
  as_root install -D -m 644 /dev/null "$restart_needed"
fi

say "Installing the program: $bin"
put 755 "$built" "$bin"

say "Installing the configuration in $etc"
as_root install -d -m 755 "$etc"
put 644 realsense-webrtc.toml "$share/realsense-webrtc.toml"
# A token in it is nobody else's business.
put_unless_edited 640 packaging/realsense-webrtc.toml "$etc/realsense-webrtc.toml" "$share/service.toml" "$user"
for file in pipelines/*.gst; do
  put_unless_edited 644 "$file" "$etc/$file" "$share/$file"
done
# Pipelines of an earlier version that this one has no more.
for last in "$share"/pipelines/*.gst; do
  name=$(basename "$last")
  [ ! -e "pipelines/$name" ] || continue
  if same "$last" "$etc/pipelines/$name"; then as_root rm "$etc/pipelines/$name"
  else echo "  $etc/pipelines/$name stays as you changed it. The new version has no file of that name."
  fi
  as_root rm "$last"
done
judge "$bin"

say "Installing the service"
first=
there "$unit" || first=yes
put 644 packaging/realsense-webrtc.service "$unit"
# Later it is the person's, who may have disabled or stopped it.
[ -z "$first" ] || as_root systemctl enable realsense-webrtc
if [ ! -d /run/systemd/system ]; then
  as_root rm -f "$restart_needed"
  say "Installed. systemd is not running here; the service will start with the machine."
  exit
fi
as_root systemctl daemon-reload
if [ -z "$start" ]; then
  say "Installed. To start it: sudo systemctl restart realsense-webrtc"
elif [ -z "$first" ] && ! systemctl is-active --quiet realsense-webrtc; then
  say "Installed. The service was stopped before, so it was not started. To start it: sudo systemctl start realsense-webrtc"
elif there "$restart_needed"; then
  as_root systemctl restart realsense-webrtc
  as_root rm "$restart_needed"
  say "Installed and started. Its state: systemctl status realsense-webrtc. Its log: journalctl -u realsense-webrtc -f"
else
  say "Everything was installed already, and the service is running."
fi
echo "Set its address and a token in $etc/realsense-webrtc.toml. After a change: sudo systemctl restart realsense-webrtc"
