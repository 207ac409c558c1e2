"""The scripts of others are the pinned ones, and the bundles are what their addresses say."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import pytest

from hal0app.web import assets, vendor


def test_what_is_vendored_is_what_the_manifest_and_the_pin_say() -> None:
    assert vendor.check() == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(vendor.FOLDER, tmp_path / "vendor"))


def test_a_changed_file_is_named(copy: Path) -> None:
    (copy / "htmx.min.js").write_text("var htmx")
    assert vendor.check(copy) == ["htmx.min.js is not as MANIFEST.json says"]


def test_a_missing_licence_is_named(copy: Path) -> None:
    (copy / "LICENSE").unlink()
    assert vendor.check(copy) == ["LICENSE is not as MANIFEST.json says"]


def test_a_file_that_does_not_belong_there_is_named(copy: Path) -> None:
    (copy / "more.js").write_text("")
    assert vendor.check(copy) == ["more.js is not as MANIFEST.json says"]


def test_another_version_than_the_pinned_is_noticed(copy: Path) -> None:
    manifest = copy / vendor.MANIFEST
    manifest.write_text(manifest.read_text().replace("4.0.1", "4.0.0"))
    assert vendor.check(copy) == ["MANIFEST.json is of another package than the pinned one"]


def test_a_tarball_with_another_content_is_refused() -> None:
    with pytest.raises(ValueError, match="pinned is sha512-"):
        vendor.verify(vendor.HTMX, b"something else")


def test_an_address_carries_the_hash_of_its_content() -> None:
    for name, asset in assets.load().by_name.items():
        stem, hashed, suffix = asset.name.split(".")
        assert f"{stem}.{suffix}" == name
        assert hashlib.sha256(asset.body).hexdigest().startswith(hashed)
        assert gzip.decompress(asset.packed) == asset.body


def test_htmx_its_extension_and_our_listeners_are_one_script() -> None:
    body = assets.load().by_name["ui.js"].body
    places = [body.index(mark) for mark in (b"var htmx=", b'registerExtension("sse"', b'getElementById("live")')]
    assert places == sorted(places)


def test_comments_and_indentation_stay_here_and_every_line_of_code_goes_out() -> None:
    for name in ("chat.js", "answer.js", "journal.js"):
        own = [line.strip() for line in (assets.FOLDER / name).read_text().splitlines()]
        sent = assets.load().by_name[name].body.decode().splitlines()
        assert sent == [line for line in own if line and not line.startswith(("//", "/*"))]
        assert all(line.count("`") % 2 == 0 for line in sent), "a text over several lines would lose its indentation"


@pytest.mark.parametrize("name", ["slots.js", "models.js", "chat.js", "journal.js", "settings.js"])
def test_what_a_page_runs_stays_small(name: str) -> None:
    packed = {one: len(asset.packed) for one, asset in assets.load().by_name.items()}
    assert packed["ui.js"] + packed[name] <= 21_000


@pytest.mark.parametrize(("name", "budget"), [("ui.js", 20_000), ("ui.css", 8_000)])
def test_what_is_sent_stays_small(name: str, budget: int) -> None:
    assert len(assets.load().by_name[name].packed) <= budget
