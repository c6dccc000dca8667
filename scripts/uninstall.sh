#!/usr/bin/env bash
# Removes what scripts/install.sh installed, and what scripts/start_demo.sh and the other scripts fetched for the user who runs it.
# Asks before each step. Run it as root, or as a user who may use sudo.
#   scripts/uninstall.sh           keeps recordings, and configuration and pipeline files that you changed
#   scripts/uninstall.sh --purge   removes these, too
#   scripts/uninstall.sh --yes     does not ask
# Debian packages stay if they were there before, or if something else needs them now. This checkout stays, too.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/installed.sh

purge='' yes=''
for option in "$@"; do
  case $option in
    --purge) purge=yes ;;
    --yes) yes=yes ;;
    -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
    *) echo "error: unknown option $option; usage: $0 [--purge] [--yes]" >&2; exit 2 ;;
  esac
done

# Whether the person wants it; without a terminal only --yes does.
agreed() {
  [ -z "$yes" ] || return 0
  local answer=
  read -r -p "$1 [y/N] " answer </dev/tty || true
  [[ $answer == [yY]* ]]
}
if [ -z "$yes" ] && ! { : </dev/tty; } 2>/dev/null; then
  echo "error: there is no terminal to ask on. To be asked nothing: $0 --yes" >&2
  exit 2
fi

there() { as_root test -e "$1"; }

# Removes a file that install.sh put there, unless a person changed it.
take_unless_edited() { # take_unless_edited PLACE LAST
  there "$1" || return 0
  if [ -n "$purge" ] || as_root cmp -s "$1" "$2"; then as_root rm "$1"; else echo "  $1 stays: you changed it"; fi
}

# Each step can be done again, if one broke off; what the comparison needs goes last.
take_service() {
  local file running=
  [ ! -d /run/systemd/system ] || running=--now
  if there "$unit"; then
    say "Stopping the service"
    # shellcheck disable=SC2086 # none is no word
    as_root systemctl disable $running realsense-webrtc
    as_root rm "$unit"
    [ -z "$running" ] || as_root systemctl daemon-reload
  fi
  say "Removing it"
  take_unless_edited "$etc/realsense-webrtc.toml" "$share/service.toml"
  for file in "$share"/pipelines/*.gst; do
    [ ! -e "$file" ] || take_unless_edited "$etc/pipelines/$(basename "$file")" "$file"
  done
  if [ -n "$purge" ]; then
    as_root rm -rf "$etc" "$state" "$unit.d"
  else
    for folder in "$etc/pipelines" "$etc" "$state/recordings" "$state"; do
      ! there "$folder" || as_root rmdir --ignore-fail-on-non-empty "$folder"
    done
    # The user's number may be given to another one.
    for folder in "$etc" "$state"; do
      if there "$folder"; then
        as_root chown -R root:root "$folder"
        echo "  $folder stays; it belongs to root now"
      fi
    done
    ! there "$unit.d" || echo "  $unit.d stays: you made it"
  fi
  if there "$rules"; then scripts/install_udev_rules.sh --uninstall; fi
  if getent passwd "$user" >/dev/null; then as_root userdel "$user"; fi
  if getent group "$user" >/dev/null; then as_root groupdel "$user"; fi
  as_root rm -rf "$bin" "$lib" "$sysusers" "$scratch" "$share"
}

what="the program, its library, its user, the udev rules, and configuration files that you did not change"
[ -z "$purge" ] || what="the program, its library, its user, the udev rules, THE WHOLE CONFIGURATION AND ALL RECORDINGS"
for place in "$bin" "$unit" "$lib" "$share" "$sysusers" "$rules" ${purge:+"$etc" "$state"}; do
  if there "$place"; then
    if agreed "Remove the service: $what?"; then take_service; fi
    break
  fi
done

# Takes Debian packages away that nothing else depends on: apt decides, in a trial run.
take_packages() {
  local trial gone asked
  mapfile -t asked < <(comm -12 <(sed -n 's/^asked //p' "$brought" | sort -u) <(installed_packages))
  [ "${#asked[@]}" -eq 0 ] || as_root apt-mark auto "${asked[@]}" >/dev/null
  # Of what came along, what somebody has asked for since counts as manual, and apt leaves it.
  trial=$(as_root apt-get --simulate --purge -o APT::AutoRemove::RecommendsImportant=false \
    -o APT::AutoRemove::SuggestsImportant=false autoremove)
  mapfile -t gone < <(comm -12 <(cut -d' ' -f2 "$brought" | sort -u) <(sed -n 's/^Purg \([^ ]*\).*/\1/p' <<<"$trial" | sort -u))
  if [ "${#gone[@]}" -gt 0 ]; then
    trial=$(as_root apt-get --simulate purge "${gone[@]}" | sed -n 's/^Purg \([^ ]*\).*/\1/p' | sort -u)
    if [ "$trial" != "$(printf '%s\n' "${gone[@]}")" ]; then
      [ "${#asked[@]}" -eq 0 ] || as_root apt-mark manual "${asked[@]}" >/dev/null
      echo "  The packages stay, because apt would remove others with them. They are listed in $brought."
      return
    fi
    say "Removing Debian packages: ${gone[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq -o DPkg::Lock::Timeout=300 "${gone[@]}"
  fi
  mapfile -t asked < <(comm -12 <(printf '%s\n' "${asked[@]}" | sort -u) <(installed_packages))
  [ "${#asked[@]}" -eq 0 ] || echo "  These packages stay, because something else needs them: ${asked[*]}"
  as_root rm "$brought"
}

if [ -e "$brought" ]; then
  if there "$bin"; then
    echo "The Debian packages that these scripts installed stay, because the service needs them."
  elif agreed "Remove the $(wc -l <"$brought") Debian packages that these scripts installed, except those that something else needs?"; then
    take_packages
  fi
fi
if [ -d "$cache" ] && agreed "Remove $cache: librealsense, Rust and tools that these scripts fetched for $(id -un)?"; then
  rm -rf "$cache"
fi
say "Done. To remove this checkout, too: rm -rf $PWD"
