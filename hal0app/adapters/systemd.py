"""lemond's unit: what systemd says of it, and its restart. A subprocess each, so only for a lemond in trouble.

The right to restart comes from the polkit rule `systemd/49-hal0-lemond.rules`.
"""

from __future__ import annotations

from hal0app.adapters.host import UNITS
from hal0app.core.watchdog import Unit

TIMEOUT_S = 5.0
NO_UNIT = Unit()


class Systemd:
    """Asks the `systemctl` of PATH."""

    def unit(self) -> Unit:
        """The unit that runs lemond here: one that is up, else one that is there; `NO_UNIT` where none is."""
        failed, told = _systemctl("show", "--property=Id,LoadState,ActiveState", *UNITS)
        found = [_facts(part) for part in told.split("\n\n")] if not failed else []
        units = [Unit(one["Id"], one.get("ActiveState", "")) for one in found if one.get("LoadState") == "loaded"]
        return next((one for one in units if one.running), units[0] if units else NO_UNIT)

    def restart(self, unit: Unit) -> str:
        """Have it restarted, without waiting for the end of it; empty, or what speaks against it."""
        failed, told = _systemctl("restart", "--no-block", unit.name)
        return (told.strip() or "systemctl failed") if failed else ""


def _facts(lines: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in lines.splitlines() if "=" in line)


def _systemctl(verb: str, *arguments: str) -> tuple[bool, str]:
    """Whether it failed, and what it said."""
    import subprocess  # here, for a healthy lemond needs none, and `hal0 drift` starts every ten seconds

    command = ["systemctl", "--no-pager", "--no-ask-password", verb, *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return True, str(problem)
    return done.returncode != 0, done.stdout if done.returncode == 0 else done.stderr
