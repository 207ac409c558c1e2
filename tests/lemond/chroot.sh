#!/usr/bin/env bash
# Build (once) a Debian forky chroot with the real lemond and llama-server, and print its path.
#
# Needs root and network access to Debian's mirror. The chroot lives in the cache outside the checkout and is
# rebuilt when this script's recipe changes. Usage: chroot.sh [--path-only]
set -euo pipefail

SUITE=forky
PACKAGES=(lemonade-server llama.cpp-tools)
CACHE=${HAL0_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hal0}
RECIPE=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
ROOT=$CACHE/lemond-$SUITE-$RECIPE

if [ "${1:-}" = --path-only ]; then echo "$ROOT"; exit 0; fi

say() { echo "lemond chroot: $*" >&2; }

install_debootstrap() {
  command -v debootstrap >/dev/null && return
  say "installing debootstrap"
  apt-get -qq update >&2
  apt-get -qq install -y --no-install-recommends debootstrap >&2
}

mirror() {
  awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null ||
    awk '/^deb / {print $2; exit}' /etc/apt/sources.list
}

build() {
  local tmp=$ROOT.tmp log=$ROOT.log
  rm -rf --one-file-system "$tmp"
  say "building $ROOT (one to three minutes, log in $log)"
  debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$tmp" "$(mirror)" \
    /usr/share/debootstrap/scripts/sid >"$log" 2>&1
  cp -n /etc/apt/apt.conf.d/99* "$tmp/etc/apt/apt.conf.d/" 2>/dev/null || true
  cp /etc/ssl/certs/ca-certificates.crt "$tmp/etc/ssl/certs/ca-certificates.crt"
  cp -L /etc/resolv.conf "$tmp/etc/resolv.conf" 2>/dev/null || true
  printf '#!/bin/sh\nexit 101\n' >"$tmp/usr/sbin/policy-rc.d"
  chmod 755 "$tmp/usr/sbin/policy-rc.d"
  echo 'force-unsafe-io' >"$tmp/etc/dpkg/dpkg.cfg.d/unsafe-io"
  {
    DEBIAN_FRONTEND=noninteractive chroot "$tmp" apt-get -o Acquire::Check-Valid-Until=false update
    DEBIAN_FRONTEND=noninteractive chroot "$tmp" apt-get install -y --no-install-recommends "${PACKAGES[@]}"
    chroot "$tmp" apt-get clean
  } >>"$log" 2>&1
  mv "$tmp" "$ROOT"
  say "ready: $(chroot "$ROOT" dpkg-query -W -f '${Package} ${Version}  ' "${PACKAGES[@]}")"
}

[ "$(id -u)" = 0 ] || { say "needs root (debootstrap and chroot): run 'sudo make test-lemond'"; exit 1; }
mkdir -p "$CACHE"
exec 9>"$CACHE/lemond-chroot.lock"
flock 9
if [ ! -d "$ROOT" ]; then
  install_debootstrap
  build || { say "failed; the end of $ROOT.log:"; tail -20 "$ROOT.log" >&2; exit 1; }
fi
echo "$ROOT"
