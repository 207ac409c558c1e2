"""The exit statuses of every command."""

from __future__ import annotations

OK, REFUSED, USAGE, NEWS, UNREACHABLE = range(5)

MEANING = {
    OK: "done",
    REFUSED: "refused or failed, or something is wrong (config check, doctor)",
    USAGE: "the command line makes no sense",
    NEWS: "drift: something new was found and written down",
    UNREACHABLE: "hal0 does not answer at HAL0_URL",
}
