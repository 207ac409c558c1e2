"""Run one file of a role on a host, without the rest of an installation."""

from __future__ import annotations

import json
from typing import Any

from tests.installer.host import Host

BOOK = "/root/hal0/ansible/one.yml"
VENV = "/root/hal0/.installer/venv/bin"
PLAY_S = 600.0


def play(host: Host, role: str, tasks: str, check: bool = True, dry: bool = False, **variables: Any) -> tuple[int, str]:
    """The exit status and what Ansible says; AssertionError when it fails, unless `check` is False.

    With `dry` it only tells what it would change.
    """
    include = {"ansible.builtin.include_role": {"name": role, "tasks_from": tasks}}
    host.write(BOOK, json.dumps([{"hosts": "localhost", "vars": variables, "tasks": [include]}]))
    command = f"cd hal0/ansible && {VENV}/ansible-playbook -i localhost.yml {'--check' if dry else ''} one.yml"
    done = host.run(command, check=check, within=PLAY_S)
    return done.returncode, done.stdout
