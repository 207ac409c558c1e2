#!/usr/bin/env bash
# Build (once) the root file system of a Debian host with systemd, and print its path.
#
# Needs root and Debian's mirror. It lives in the cache outside the checkout and is rebuilt when this script changes.
# Usage: base.sh forky|bookworm
set -euo pipefail

SUITE=${1:?forky or bookworm}
PACKAGES=systemd,systemd-sysv,dbus,libpam-systemd,python3,python3-apt,ca-certificates,iproute2,procps,openssh-server,sudo
CACHE=${HAL0_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hal0}
RECIPE=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
BASE=$CACHE/host-$SUITE-$RECIPE

say() { echo "host $SUITE: $*" >&2; }

mirror() {
  awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null ||
    awk '/^deb / {print $2; exit}' /etc/apt/sources.list
}

# The ordinary client configuration of this machine: mirror, certificates, pip. Playbooks never write it.
configure_clients() {
  local root=$1
  : >"$root/etc/apt/sources.list"
  rm -f "$root"/etc/apt/sources.list.d/*
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
    "$(mirror)" "$SUITE" >"$root/etc/apt/sources.list.d/debian.sources"
  cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
  echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99valid-until"
  echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/99no-translations"
  cp /etc/pip.conf "$root/etc/pip.conf" 2>/dev/null || true
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  rm -f "$root/etc/resolv.conf"
  echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
}

# No two hosts are the same machine, and nothing works by itself in the background of a test.
depersonalise() {
  local root=$1 unit
  : >"$root/etc/machine-id"
  rm -f "$root"/etc/ssh/ssh_host_*
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
}

# PID 1 under nspawn: on a kernel with cgroup v1, make the controllers writable and become systemd.
write_init() {
  cat >"$1/init-of-test" <<'INIT'
#!/bin/sh
for c in memory pids cpu cpuacct; do mount -o remount,rw,bind /sys/fs/cgroup/$c 2>/dev/null; done
exec /lib/systemd/systemd "$@"
INIT
  chmod 755 "$1/init-of-test"
}

build() {
  local tmp=$BASE.tmp
  rm -rf --one-file-system "$tmp"
  say "building $BASE (about a minute, log in $BASE.log)"
  mmdebstrap --quiet --aptopt='Acquire::Check-Valid-Until "false"' --variant=minbase --mode=root \
    --include="$PACKAGES" --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$SUITE" "$tmp" "$(mirror)" >"$BASE.log" 2>&1
  configure_clients "$tmp"
  depersonalise "$tmp"
  write_init "$tmp"
  mv "$tmp" "$BASE"
}

[ "$(id -u)" = 0 ] || { say "needs root: sudo make installer"; exit 1; }
mkdir -p "$CACHE"
exec 9>"$CACHE/host-base.lock"
flock 9
[ -d "$BASE" ] || build || { say "failed; the end of $BASE.log:"; tail -20 "$BASE.log" >&2; exit 1; }
echo "$BASE"
