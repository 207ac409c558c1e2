#!/usr/bin/env bash
# Install Debian's Chromium for the browser lane. Playwright's own download is not used.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "chromium is missing: sudo apt install chromium"; exit 1; }
echo "installing chromium"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null
