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

# Sorts before 73-seat-late.rules, which gives what is tagged uaccess to the person at the machine.
file=/etc/udev/rules.d/70-realsense-webrtc.rules

# Product ids of vendor 8086 from librealsense's own rules (config/99-realsense-libusb.rules), of the families its versions
# 2.56 and later still support (D400, D500), and of their cameras in recovery mode, which take firmware only.
cameras='0ad0|0ad1|0ad2|0ad3|0ad4|0ad5|0ad6|0af2|0af6|0afe|0aff|0b00|0b01|0b03|0b07|0b0c|0b0d|0b3a|0b3d|0b48|0b49|0b4b|0b4d|0b52|0b56|0b5b|0b5c|0b6a|0b6b|1155|1156'
recovery='0ab3|0adb|0adc|0add|0ade|0b55'

rules() {
  cat <<END
# Access to Intel RealSense depth cameras without root, by realsense-webrtc's scripts/install_udev_rules.sh.
ACTION=="remove", GOTO="realsense_webrtc_end"

# The USB device itself: resets, firmware.
SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{idVendor}=="8086", ATTR{idProduct}=="$cameras|$recovery", MODE="0660", GROUP="plugdev", TAG+="uaccess"

# Depth, infrared and colour.
SUBSYSTEM=="video4linux", ATTRS{idVendor}=="8086", ATTRS{idProduct}=="$cameras", MODE="0660", GROUP="video", TAG+="uaccess"

# Gyroscope and accelerometer. They are switched on and read through files of the device too.
SUBSYSTEM=="iio", KERNEL=="iio:device*", ATTRS{idVendor}=="8086", ATTRS{idProduct}=="$cameras", MODE="0660", GROUP="plugdev", TAG+="uaccess", RUN+="/bin/sh -c 'chgrp -R plugdev /sys%p && chmod -R g=u /sys%p'"
DRIVER=="hid_sensor_custom", ATTRS{idVendor}=="8086", ATTRS{idProduct}=="$cameras", RUN+="/bin/sh -c 'chgrp -R plugdev /sys%p && chmod -R g=u /sys%p'"

LABEL="realsense_webrtc_end"
END
}

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    echo "error: neither root nor sudo is at hand. As root, run: $0" >&2
    exit 1
  fi
}

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
  --print) rules; exit ;;
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

if [ "$(cat "$file" 2>/dev/null)" = "$(rules)" ]; then
  say "The rules are installed already: $file"
else
  # Exists on Debian and Ubuntu; elsewhere a system group of this name does the same.
  getent group plugdev >/dev/null || as_root groupadd --system plugdev
  as_root mkdir -p "$(dirname "$file")"
  new=$(mktemp -d)
  trap 'rm -rf "$new"' EXIT
  rules >"$new/new.rules"
  # Old versions of udev, Debian 12's among them, have no "verify".
  if udevadm verify --help >/dev/null 2>&1 && ! problem=$(udevadm verify "$new/new.rules" 2>&1); then
    echo "error: udev does not understand the rules: $problem" >&2
    exit 1
  fi
  as_root install -m 644 "$new/new.rules" "$file"
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
