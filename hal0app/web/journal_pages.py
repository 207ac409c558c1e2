"""The journal: what changed, why and by whom, filtered by the address, as a page and as a file of text."""

from __future__ import annotations

from flask import Response, request

from hal0app.core.journal import Entry
from hal0app.web.blueprint import NO_STORE, bp, page
from hal0app.web.log import MOST_LINES, Filters, heard_line, log_line
from hal0app.web.painting import iso
from hal0app.web.regions import HEARD
from hal0app.web.site import site

DOWNLOAD_LINES = 20_000


def _entries(filters: Filters, limit: int, before: str = "") -> list[Entry]:
    asked = {**filters.for_store(), "before": before}
    return site().hal0.store.journal(0, limit, newest=True, **asked)


@bp.get("/journal")
def journal() -> Response:
    """The newest lines that the address asks for, or those `before` an id."""
    filters, before = Filters.of(request.args), request.args.get("before", "")
    before = before if before.isascii() and before.isdigit() and len(before) < 19 else ""
    found = _entries(filters, MOST_LINES + 1, before)
    told = site().recall.told()
    return page(
        "journal", tab="", followed=True, filters=filters, before=before, earlier=len(found) > MOST_LINES,
        lines=[log_line(one) for one in found[-MOST_LINES:]], known=len(told.entries), slots=sorted(told.of_slot),
        kinds=sorted({one.kind for one in told.entries}),
    )  # fmt: skip


@bp.get("/journal/lemonade")
def lemonade_log() -> Response:
    """Lemonade's own log since hal0's start, as far as it is kept."""
    filters, heard = Filters.of(request.args), site().hal0.heard
    lines = [heard_line(one) for one in heard.lines()]
    return page(
        HEARD, current="journal", tab="/lemonade", followed=heard.following(), filters=filters,
        lines=list(filter(filters.fits, lines)), before="", earlier=False, known=len(lines), slots=[], kinds=[],
    )  # fmt: skip


@bp.get("/journal.txt")
def journal_text() -> Response:
    """The same as a file, oldest first."""
    lines = [_text(one) for one in _entries(Filters.of(request.args), DOWNLOAD_LINES)]
    headers = {**NO_STORE, "Content-Disposition": "attachment; filename=hal0-journal.txt"}
    return Response("".join(lines), mimetype="text/plain", headers=headers)


def _text(one: Entry) -> str:
    words = [iso(one.ts), one.level, one.source, one.kind, one.slot or "-", one.message.replace("\n", " ")]
    line = log_line(one)
    by = ", ".join(
        filter(None, (f"by {line.agent}" * bool(line.agent), f"request {line.request}" * bool(line.request)))
    )
    return " ".join(words) + (f" ({by})" if by else "") + "\n"
