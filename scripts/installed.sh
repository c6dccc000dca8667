# shellcheck shell=bash disable=SC2034
# Where scripts/install.sh puts what, and scripts/uninstall.sh finds it. Source it.
bin=/usr/local/bin/realsense-webrtc
lib=/usr/local/lib/realsense-webrtc
share=/usr/local/share/realsense-webrtc
etc=/etc/realsense-webrtc
sysusers=/etc/sysusers.d/realsense-webrtc.conf
rules=/etc/udev/rules.d/70-realsense-webrtc.rules
unit=/etc/systemd/system/realsense-webrtc.service
state=/var/lib/realsense-webrtc
scratch=/var/cache/realsense-webrtc
user=realsense-webrtc
