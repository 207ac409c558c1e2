"""What SET="name=value ..." says, as ansible-playbook's option -e takes it.

    python installer/said.py [here]     prints JSON; exit status 1 when no role has such a variable

SET may also be "@FILE" with YAML or JSON, or "{name: value}". With `here` the roles' variables are also in `hal0_said`,
which this host remembers.
"""

from __future__ import annotations

import difflib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[1] / "ansible" / "roles"
OURS = "hal0_"
NOT_KEPT = ("hal0_serial",)  # of one run


def known() -> list[str]:
    """The variables of all roles."""
    found = [yaml.safe_load(file.read_text(encoding="utf-8")) or {} for file in ROLES.glob("*/defaults/main.yml")]
    return sorted({name for one in found for name in one})


def read(text: str) -> dict[str, Any]:
    """The variables that SET names. SystemExit with the reason where it cannot be read."""
    if text.startswith("@"):
        return _mapping(_file(Path(text[1:])), text)
    if text.startswith("{"):
        return _mapping(text, text)
    pairs = [word.partition("=") for word in shlex.split(text)]
    bad = next((name for name, equals, _ in pairs if not equals or not name.isidentifier()), None)
    if bad is not None:
        sys.exit(f"hal0: SET: '{bad}' is not name=value. A value with spaces is quoted: SET=\"name='a b'\"")
    return {name: value for name, _, value in pairs}


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        sys.exit(f"hal0: SET: {path} cannot be read: {problem}")


def _mapping(text: str, source: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        sys.exit(f"hal0: SET: {source} is not YAML: {problem}")
    if not isinstance(found, dict):
        sys.exit(f"hal0: SET: {source} must hold name: value")
    return found


def unknown(names: list[str], roles: list[str]) -> str:
    """What to say of the first name that is meant for hal0 and that no role has; empty when all are known."""
    for name in names:
        if name.startswith(OURS) and name not in (*roles, *NOT_KEPT):
            close = difflib.get_close_matches(name, roles, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"hal0: SET: there is no variable {name}; {hint}docs/operate.md lists them all"
    return ""


def main(here: bool) -> None:
    try:
        said = read(os.environ.get("SET", "").strip())
    except ValueError as problem:
        sys.exit(f"hal0: SET cannot be read: {problem}")
    roles = known()
    if problem_told := unknown([str(name) for name in said], roles):
        sys.exit(problem_told)
    kept = {name: value for name, value in said.items() if name in roles}
    print(json.dumps({**said, "hal0_said": kept} if here else said, default=str))


if __name__ == "__main__":
    main(sys.argv[1:] == ["here"])
