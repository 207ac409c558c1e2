#!/usr/bin/env bash
# Install Debian's nginx for `make bench`: only its program is used, on a port of its own; no service is started.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "nginx is missing: sudo apt install nginx-light"; exit 1; }
echo "installing nginx-light"
policy=/usr/sbin/policy-rc.d # what Debian asks before a package starts its service
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nginx-light >/dev/null
if [ -d /run/systemd/system ]; then systemctl --quiet disable nginx; fi
