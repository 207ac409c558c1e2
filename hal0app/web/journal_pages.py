"""The journal: what changed, why and by whom, filtered by the address, as a page and as a file of text."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response, request

from hal0app.core.journal import Entry
from hal0app.services.heard import KEEP, Heard
from hal0app.web.blueprint import NO_STORE, bp, page
from hal0app.web.log import MOST_LINES, SINCE, Filters, heard_line, log_line
from hal0app.web.painting import iso
from hal0app.web.regions import HEARD, OWN
from hal0app.web.site import site

DOWNLOAD_LINES = 20_000
TABS = {"": "What changed, and why", "/lemonade": "Lemonade's own log", "/hal0": "hal0's own log"}
LOGS = {"lemonade": HEARD, "hal0": OWN}


def _entries(filters: Filters, limit: int, before: str = "") -> list[Entry]:
    asked = {**filters.for_store(_now()), "before": before}
    return site().hal0.store.journal(0, limit, newest=True, **asked)


def _now() -> float:
    return site().hal0.clock().wall


@bp.get("/journal")
def journal() -> Response:
    """The newest lines that the address asks for, or those `before` an id."""
    filters, before = Filters.of(request.args), request.args.get("before", "")
    before = before if before.isascii() and before.isdigit() and len(before) < 19 else ""
    told = site().recall.told()  # before the entries, so that none is thought to be known that is not there
    newest = told.entries[-1].id if told.entries else 0
    found = _entries(filters, MOST_LINES + 1, before)
    rotated = bool(found) and not filters.any and (found[0].id or 0) > 1
    return page(
        "journal", tab="", tabs=TABS, followed=True, filters=filters, since=SINCE, after=filters.after(_now()),
        before=before, newest=newest, rotated=rotated, earlier=len(found) > MOST_LINES,
        lines=[log_line(one) for one in found[-MOST_LINES:]],
        known=len(told.entries), slots=sorted(told.of_slot), kinds=sorted({one.kind for one in told.entries}),
    )  # fmt: skip


@bp.get("/journal/<any(lemonade, hal0):log>")
def log(log: str) -> Response:
    """A log since hal0's start, as far as it is kept: Lemonade's or hal0's own."""
    filters, heard = Filters.of(request.args), _log(log)
    lines = [heard_line(one) for one in heard.lines()]
    return page(
        LOGS[log], current="journal", tab=f"/{log}", tabs=TABS, followed=heard.following(), filters=filters,
        since=SINCE, after=filters.after(_now()), lines=[one for one in lines if filters.fits(one, _now())],
        before="", newest=lines[-1].number if lines else 0, rotated=len(lines) == KEEP, earlier=False,
        known=len(lines), slots=[], kinds=[],
    )  # fmt: skip


def _log(name: str) -> Heard:
    return site().hal0.heard if name == "lemonade" else site().hal0.own_log


@bp.get("/journal.txt")
def journal_text() -> Response:
    """The journal as a file, oldest first."""
    return _file("journal", map(_text, _entries(Filters.of(request.args), DOWNLOAD_LINES)))


@bp.get("/journal/<any(lemonade, hal0):log>.txt")
def log_text(log: str) -> Response:
    """A log as a file, oldest first."""
    filters, now = Filters.of(request.args), _now()
    lines = [one for one in map(heard_line, _log(log).lines()) if filters.fits(one, now)]
    return _file(log, (f"{iso(one.at)} {one.level} {one.message}\n" for one in lines))


def _file(name: str, lines: Iterable[str]) -> Response:
    headers = {**NO_STORE, "Content-Disposition": f"attachment; filename=hal0-{name}.txt"}
    return Response("".join(lines), mimetype="text/plain", headers=headers)


def _text(one: Entry) -> str:
    line = log_line(one)
    words = [iso(one.ts), one.level, one.source, one.kind, one.slot or "-", one.message.replace("\n", " ")]
    by = [f"by {line.agent}"] * bool(line.agent) + [f"request {line.request}"] * bool(line.request)
    return " ".join(words) + (f" ({', '.join(by)})" if by else "") + "\n"
