#!/usr/bin/env bash
# Install what boots hosts on the machine that runs the tests.
set -euo pipefail
missing=()
for pair in mmdebstrap:mmdebstrap systemd-nspawn:systemd-container slirp4netns:slirp4netns ip:iproute2 \
  ssh:openssh-client patchelf:patchelf; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "missing: sudo apt install ${missing[*]}"; exit 1; }
echo "installing ${missing[*]}"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
