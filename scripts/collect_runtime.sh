#!/bin/sh
# A step of the Dockerfile: copies what the program needs at run time out of a fully installed system into DEST, with the
# paths it has here: the GStreamer plugins named below, every library that these, the program and librealsense are linked
# against, and the licences and package records of what was taken. What the base image has already is left out.
#   collect_runtime.sh DEST BASE_PACKAGES      BASE_PACKAGES: dpkg-query -W of the base image
# For other plugins add their packages in an image of your own (FROM realsense-webrtc, USER root, apt-get install …).
set -eu
dest=$1 base_packages=$2

# By the part of libgst….so that names the plugin; left out where a version of GStreamer does not have it.
plugins="
  coreelements app typefindfunctions videoconvertscale videorate videotestsrc videofilter videobox videocrop
  x264 openh264 vpx videoparsersbad video4linux2
  rtp rtpmanager webrtc nice dtls srtp sctp udp tcp
  isomp4 matroska multifile
"
needed=" coreelements app videoconvertscale x264 vpx rtp rtpmanager webrtc nice dtls srtp "

lib=/usr/lib/$(uname -m)-linux-gnu
list=$(mktemp)

for plugin in $plugins; do
  file=$lib/gstreamer-1.0/libgst$plugin.so
  if [ -e "$file" ]; then echo "$file"
  else
    case $needed in *" $plugin "*) echo "GStreamer's plugin $plugin is missing: $file" >&2; exit 1 ;; esac
  fi
done >"$list"
# Loaded by name, so that no linker knows of them: libsrtp encrypts by NSS, whose modules these are.
find "$lib" \( -name 'libsoftokn3.so' -o -name 'libfreebl*.so' \) >>"$list"
# Finds out about plugins in a process of its own.
find "$lib" -name gst-plugin-scanner -type f >>"$list"

linked=$(mktemp)
# Of the program and librealsense only what they load: they themselves come in another layer.
{ cat "$list"; find /opt/librealsense/lib -name '*.so*' -type f; echo /usr/local/bin/realsense-webrtc; } |
  xargs ldd >"$linked" 2>&1
if grep 'not found' "$linked"; then echo "Libraries are missing, see above." >&2; exit 1; fi
awk '$2 == "=>" && $3 ~ /^\// { print $3 }' "$linked" | grep -v '^/opt/librealsense/' >>"$list"
# Checksums that NSS compares its modules with.
find "$lib" \( -name 'libsoftokn3.chk' -o -name 'libfreebl*.chk' \) >>"$list"
sort -u -o "$list" "$list"

mkdir -p "$dest/var/lib/dpkg/status.d"
while read -r file; do
  # The same file may be known as /lib/… or /usr/lib/…; in the image it goes below /usr, where both lead.
  path=/usr${file#/usr}
  package=$(dpkg-query --search "*${path#/usr}" | sed -n 's/^\([^:,]*\).*/\1/p;q')
  record=$(dpkg-query -W "$package" | head -n 1)
  grep -qxF "$record" "$base_packages" && continue
  mkdir -p "$dest$(dirname "$path")"
  # Not the links: the loader asks for exactly this name.
  cp --dereference --preserve=mode,timestamps "$file" "$dest$path"
  [ -e "$dest/var/lib/dpkg/status.d/$package" ] && continue
  # For those who look for vulnerable packages in images; apt and dpkg do not read it.
  dpkg-query --status "$package" >"$dest/var/lib/dpkg/status.d/$package"
  if [ -e "/usr/share/doc/$package/copyright" ]; then
    mkdir -p "$dest/usr/share/doc/$package"
    cp --dereference "/usr/share/doc/$package/copyright" "$dest/usr/share/doc/$package/"
  fi
done <"$list"
rm -f "$list" "$linked"
echo "$(find "$dest/usr/lib" -type f | wc -l) files of $(find "$dest/var/lib/dpkg/status.d" -type f | wc -l) packages, $(du -sm "$dest" | cut -f1) MB"
