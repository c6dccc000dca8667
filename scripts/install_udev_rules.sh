#!/usr/bin/env bash
# Lets people use RealSense cameras without being root: installs udev rules, as root or through sudo.
#   scripts/install_udev_rules.sh                install, and apply to cameras that are plugged in
#   scripts/install_udev_rules.sh --uninstall    remove them again
#   scripts/install_udev_rules.sh --print        only show them
#
# Who may then use a camera: whoever sits at the machine (logged in at its own screen), and members of the groups plugdev
# (USB device, motion sensors) and video (/dev/video*), for servers and logins by SSH. Not everybody, unlike with the
# vendor's rules (mode 0666); those may stay beside these, the wider permission wins.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/common.sh
rules=packaging/70-realsense-webrtc.rules
file=/etc/udev/rules.d/70-realsense-webrtc.rules

# Makes udev read its rules and apply them to what is plugged in. In a container there is no udev: its host has it.
apply() {
  if [ ! -S /run/udev/control ]; then
    say "udev does not run here; the rules take effect when it starts. In a container: install them on the host instead."
    return
  fi
  as_root udevadm control --reload
  as_root udevadm trigger --action=change --subsystem-match=usb --attr-match=idVendor=8086
  as_root udevadm trigger --action=change --subsystem-match=video4linux --subsystem-match=iio
}

case ${1:-} in
  --print) cat "$rules"; exit ;;
  --uninstall)
    if [ ! -e "$file" ]; then say "The rules are not installed: $file"; exit; fi
    as_root rm "$file"
    apply
    say "Removed $file. Cameras keep their permissions until they are plugged in again."
    exit
    ;;
  '') ;;
  *) echo "error: unknown option $1; usage: $0 [--uninstall | --print]" >&2; exit 2 ;;
esac

if cmp -s "$rules" "$file"; then
  say "The rules are installed already: $file"
else
  # Exists on Debian and Ubuntu; elsewhere a system group of this name does the same.
  getent group plugdev >/dev/null || as_root groupadd --system plugdev
  as_root mkdir -p "$(dirname "$file")"
  # Old versions of udev, Debian 12's among them, have no "verify".
  if udevadm verify --help >/dev/null 2>&1 && ! problem=$(udevadm verify "$rules" 2>&1); then
    echo "error: udev does not understand the rules: $problem" >&2
    exit 1
  fi
  as_root install -m 644 "$rules" "$file"
  apply
  say "Installed $file"
fi

user=${SUDO_USER:-$(id -un)}
missing=()
for group in plugdev video; do
  if [ "$user" != root ] && ! id -nG "$user" | grep -qw "$group"; then missing+=("$group"); fi
done
if [ "${#missing[@]}" -gt 0 ]; then
  groups=$(IFS=,; echo "${missing[*]}")
  echo "At the machine's own screen $user may use the cameras at once. For a login by SSH or for a service:"
  echo "  sudo usermod --append --groups $groups $user    (takes effect with the next login)"
fi
echo "A camera that was plugged in before may have to be plugged in again. What the server sees: GET /api/devices."
