"""The models page as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hal0app.core.download import Download
from hal0app.core.model import Model
from hal0app.core.progress import Progress
from hal0app.core.request_record import Use
from hal0app.core.residency import Resident
from hal0app.core.slot_type import SlotType
from hal0app.services.models import ModelView
from hal0app.services.stock import Shelves, Underway
from hal0app.web.backend_row import backend_rows
from hal0app.web.download_row import download_row
from hal0app.web.model_filter import Wanted
from hal0app.web.model_row import fitting, model_rows, quant

GB = 1000**3
SHELVES = Shelves(
    models=(
        ModelView(Model("big", size_gb=18.6, checkpoint="org/big-GGUF:Q4_K_M"), ("chat",)),
        ModelView(Model("small", size_gb=0.3, source="local_path"), ("code",), Resident("small", pinned=True)),
        ModelView(Model("vec", SlotType.EMBEDDING)),
        ModelView(Model("ghost", downloaded=False), ("hope",)),
    ),
    offered=(Model("new", downloaded=False), Model("half", downloaded=False), Model("big", downloaded=False)),
    downloads=(
        Underway(Download("model:half", "paused", done_bytes=GB, total_bytes=2 * GB)),
        Underway(Download("model:user.own", "downloading", running=True)),
    ),
    taken=1.0,
)


def states() -> dict[str, str]:
    return {row.name: row.state for row in model_rows(SHELVES)}


def test_a_model_is_in_one_state_and_a_part_of_one_is_never_ready() -> None:
    assert states() == {
        "big": "On disk", "small": "Loaded", "vec": "On disk", "ghost": "Not on disk", "new": "Available",
        "half": "Partial", "user.own": "Downloading",
    }  # fmt: skip


def test_what_is_pinned_loaded_and_used_comes_first() -> None:
    assert [row.name for row in Wanted().of_rows(model_rows(SHELVES))][:3] == ["small", "big", "ghost"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "BI"}, ["big"]),
        ({"type": "embedding"}, ["vec"]),
        ({"where": "here", "sort": "size"}, ["big", "small", "vec"]),
        ({"where": "here", "sort": "name"}, ["big", "small", "vec"]),
        ({"where": "nonsense", "sort": "nonsense", "type": "nonsense", "q": "ghost"}, ["ghost"]),
    ],
    ids=str,
)
def test_an_address_asks_for_models(query: dict[str, str], names: list[str]) -> None:
    assert [row.name for row in Wanted.of(query).of_rows(model_rows(SHELVES))] == names


def test_only_lemonades_own_files_are_deleted() -> None:
    rows = {row.name: row for row in model_rows(SHELVES)}
    assert (rows["big"].deletable, rows["big"].quant) == (True, "Q4_K_M")
    assert not rows["small"].deletable
    assert not rows["ghost"].deletable


@pytest.mark.parametrize(
    ("name", "told"),
    [("org/x-GGUF:Q4_K_M", "Q4_K_M"), ("Qwen3-0.6B-UD-IQ2_XXS.gguf", "IQ2_XXS"), ("gpt-oss-20b-mxfp4", "MXFP4"),
     ("Qwen3-4B", "")],
)  # fmt: skip
def test_the_quantisation_is_read_from_the_name(name: str, told: str) -> None:
    assert quant(name) == told


def sentence(status: str = "downloading", how: Progress | None = None, error: str | None = None) -> str:
    running = status == "downloading"
    row = Download("model:m", status, running, 6_100_000_000, 18_600_000_000, error=error)
    return download_row(Underway(row, how or Progress())).sentence


def test_a_download_tells_how_far_how_fast_and_how_long() -> None:
    assert sentence(how=Progress(85e6, 147)) == "6.1 of 18.6 GB · 85 MB/s · about 2 min left"
    assert sentence(how=Progress(85e6, 14)).endswith("about 14 s left")
    assert sentence() == "6.1 of 18.6 GB"
    many = Download("model:m", "downloading", True, 900_000_000, 18_600_000_000, file_number=2, files=3)
    assert download_row(Underway(many)).sentence == "900 MB of 18.6 GB · file 2 of 3"
    assert download_row(Underway(Download("model:m", running=True))).sentence == "Starting"


def test_one_that_stands_still_tells_no_speed() -> None:
    assert sentence(how=Progress(stalled_s=72)) == "6.1 of 18.6 GB · Stalled for 1:12"


def test_one_that_stopped_or_failed_tells_what_is_kept_and_how_to_go_on() -> None:
    assert sentence("paused") == "Stopped at 6.1 GB."
    assert sentence("error", error="disk full") == "Download failed: disk full. The 6.1 GB part is kept."
    acts = [act for act, _ in download_row(Underway(Download("model:m", "error"))).acts]
    assert acts == ["resume", "discard"]


def test_what_lemonade_says_of_a_failure_is_told_in_one_line_and_nothing_is_kept_of_nothing() -> None:
    failed = Download("model:m", "error", error="Failed to download\nURL: https://x/y\nbroken off.")
    assert download_row(Underway(failed)).sentence == "Download failed: Failed to download URL: https://x/y broken off."


@pytest.mark.parametrize(
    ("done", "running", "said"),
    [(1, True, "m: downloading."), (5, True, "m: half is downloaded."), (5, False, "m: Stopped at 0 kB.")],
)
def test_only_the_start_the_half_and_the_end_of_a_download_are_announced(done: int, running: bool, said: str) -> None:
    status = "downloading" if running else "paused"
    assert download_row(Underway(Download("model:m", status, running, done, 9))).said == said


def test_a_cancelled_download_leaves_a_part_and_is_found_under_the_name_that_lemonade_lists() -> None:
    part = Underway(Download("model:user.half", "cancelled", done_bytes=GB, total_bytes=2 * GB))
    shelves = Shelves(offered=(Model("half", downloaded=False),), downloads=(part,))
    assert [(row.name, row.state) for row in model_rows(shelves)] == [("half", "Partial")]


def test_the_last_used_comes_first_where_that_is_asked_for() -> None:
    shelves = replace(SHELVES, uses={"vec": Use(3, 1_000_000.0), "big": Use(0, 2_000_000.0)})
    rows = Wanted(sort="last").of_rows(model_rows(shelves))
    assert [(row.name, row.lately) for row in rows[:2]] == [("big", 0), ("vec", 3)]


def test_suggestions_fit_the_memory_with_room_to_work_largest_first() -> None:
    sizes = {"tiny": 0.5, "fits": 5.0, "huge": 60.0}
    offered = [Model(name, size_gb=size, suggested=True, downloaded=False) for name, size in sizes.items()]
    shelves = Shelves(offered=(*offered, Model("unknown", suggested=True), Model("plain", size_gb=1.0)))
    assert [row.name for row in fitting(shelves, 8 * GB)] == ["fits", "tiny"]
    assert fitting(shelves, None) == []


@pytest.mark.parametrize(
    ("told", "state", "install"),
    [
        ({"state": "installed"}, "Installed", ""),
        ({"state": "installable"}, "Available", "Install"),
        (
            {"state": "unsupported", "message": "needs kernel 7.0"},
            "Not available on this machine: needs kernel 7.0",
            "",
        ),
        ({"state": "installable", "action": "https://x/y"}, "Needs a step on the host", ""),
    ],
)
def test_a_backend_says_what_can_be_done_with_it(told: dict[str, str], state: str, install: str) -> None:
    (row,) = backend_rows(Shelves(backends=({"id": "flm:npu", "recipe": "flm", "backend": "npu", **told},)))
    assert (row.name, row.state, row.install) == ("FastFlowLM (npu)", state, install)


def test_an_address_that_is_no_web_page_is_not_made_a_link() -> None:
    told = {"id": "a:b", "recipe": "a", "backend": "b", "state": "installable", "action": "javascript:x"}
    assert backend_rows(Shelves(backends=(told,)))[0].page == ""
