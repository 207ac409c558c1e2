#!/bin/sh
# What `make install` and its siblings run: ansible-core in a private virtual environment, hal0's release, the playbook.
#
#   installer/install.sh [install|preflight|check|verify|upgrade|rollback|uninstall] [ansible-playbook options]
#
# HOSTS=inventory.yml provisions those hosts over SSH; without it, this host. SET="name=value ..." sets variables.
# Needs python3 with venv, nothing else.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
STATE=$ROOT/.installer
VENV=$STATE/venv
export ANSIBLE_CONFIG="$ROOT/ansible/ansible.cfg" PIP_DISABLE_PIP_VERSION_CHECK=1
export ANSIBLE_HOME="$STATE/ansible"
# Ansible refuses a locale that this host does not have, and what services read must not be root's alone.
export LC_ALL=C.UTF-8
umask 022

fail() { printf 'hal0: %s\n' "$1" >&2; exit 1; }

find_python() {
  for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$name"; return; fi
  done
  fail "Python 3.11 or newer is missing: sudo apt-get install python3, or PYTHON=/path/to/python3.11"
}

lock_of() {
  "$1" -c 'import sys; print("3.11" if sys.version_info[:2] == (3, 11) else "3.12")'
}

# One run of a checkout at a time; the lock goes with the last process that holds it.
alone() {
  mkdir -p "$STATE" 2>/dev/null || true
  [ -w "$STATE" ] || fail "$STATE cannot be written by $(id -un): run this as its owner, or from a checkout of your own"
  command -v flock >/dev/null || return 0
  exec 9>"$STATE/lock"
  flock -n 9 || fail "another run of $ROOT is under way; wait until it has ended"
}

# The virtual environment is made anew when the lock or the interpreter has changed.
bootstrap() {
  python=$(find_python)
  lock=$ROOT/installer/requirements-$(lock_of "$python").txt
  stamp=$("$python" -c 'import hashlib, sys; print(sys.version, hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$lock")
  if [ -x "$VENV/bin/ansible-playbook" ] && [ "$(cat "$VENV/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "the venv module is missing: sudo apt-get install python3-venv"
  echo "hal0: preparing ansible-core in $VENV"
  rm -rf "$VENV"
  "$python" -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --require-hashes -r "$lock" || fail "the packages of $lock did not come, see \
above. They are fetched from pip's package index; where there is none, from a folder: PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels"
  echo "$stamp" >"$VENV/.stamp"
}

privilege() {
  if [ -n "${HOSTS:-}" ] || [ "$(id -u)" = 0 ]; then return; fi
  command -v sudo >/dev/null || fail "this needs root: run it as root, or install sudo"
  sudo -n true 2>/dev/null || echo --ask-become-pass
}

case ${1:-install} in
  -*) action=install ;;
  *) action=${1:-install}; [ $# = 0 ] || shift ;;
esac
case $action in
  install) play=site.yml; options= ;;
  preflight | verify) play=site.yml; options="--tags $action" ;;
  check) play=site.yml; options="--check --diff" ;;
  upgrade | rollback | uninstall) play=$action.yml; options= ;;
  *) fail "there is no '$action': install, preflight, check, verify, upgrade, rollback or uninstall" ;;
esac
[ -z "${HOSTS:-}" ] || [ -e "$HOSTS" ] || fail "there is no inventory '$HOSTS'"

alone
bootstrap
become=$(privilege)
said=$("$VENV/bin/python" "$ROOT/installer/said.py" "${HOSTS:-here}")
release=$("$VENV/bin/python" "$ROOT/installer/release.py" "$STATE/dist")
# shellcheck disable=SC2086  # both are lists of options without spaces in them
exec "$VENV/bin/python" "$VENV/bin/ansible-playbook" -i "${HOSTS:-$ROOT/ansible/localhost.yml}" $options $become \
  -e "{\"hal0_release_dir\": \"$release\"}" -e "$said" ${PURGE:+-e hal0_purge=true} "$ROOT/ansible/$play" "$@"
