#!/usr/bin/env bash
# Installs udev rules, so that users may open RealSense cameras without being root. Run it as root, or as a user who may use sudo.
#   scripts/install_udev_rules.sh                install, and apply to cameras that are plugged in
#   scripts/install_udev_rules.sh --uninstall    remove them again
#   scripts/install_udev_rules.sh --print        only show them
#
# After that, these may use a camera: whoever is logged in at the machine's own screen, and members of the groups plugdev (USB
# device, motion sensors) and video (/dev/video*), for services and logins by SSH. The vendor's rules (mode 0666) let every user
# do it; you may keep them beside these, and then every user may.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/common.sh
rules=packaging/70-realsense-webrtc.rules
file=/etc/udev/rules.d/70-realsense-webrtc.rules

# Makes udev read its rules and apply them to what is plugged in. In a container there is no udev: its host has it.
apply() {
  if [ ! -S /run/udev/control ]; then
    say "udev is not running here; the rules take effect when it starts. In a container they have no effect: install them on the host."
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
  echo "If $user is logged in at the machine's own screen, nothing more is needed. For logins by SSH, run:"
  echo "  sudo usermod --append --groups $groups $user    (takes effect with the next login)"
fi
echo "If a camera was plugged in before, you may have to unplug it and plug it in again."
