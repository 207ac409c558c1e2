"""The documents for people: what they name exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
DECISIONS = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
MAKEFILE = (REPOSITORY / "Makefile").read_text()
COMMANDS = re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.MULTILINE)
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (document.parent / target).exists()] == []


@each_document
def test_make_commands_exist(document: Path) -> None:
    named = set(re.findall(r"(?:^|`|sudo )make (?!PYTHON)([a-z][a-z-]*)", document.read_text(), re.MULTILINE))
    assert named <= set(COMMANDS)


def test_contributing_lists_every_command() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert [name for name in COMMANDS if name != "help" and f"`make {name}`" not in text] == []


def test_architecture_lists_every_folder_of_the_package() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text()
    folders = [path.parent.name for path in (REPOSITORY / "hal0app").glob("*/__init__.py")]
    assert [name for name in folders if f"`hal0app/{name}/`" not in text] == []


def test_decisions_are_numbered_without_gaps() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_why_what_and_at_what_price(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {int(decision.name[:4])}. ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_licence_that_is_declared_is_the_one_that_is_there() -> None:
    assert "license = Apache-2.0" in (REPOSITORY / "setup.cfg").read_text()
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text()[:200]


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt", "model.txt"])
def test_a_lock_names_no_place_of_the_machine_that_made_it(lock: str) -> None:
    lines = (REPOSITORY / "requirements" / lock).read_text().splitlines()
    place = re.compile(r"\s*-(?!-hash=)|[^#]*(file:|://)")
    assert [line for line in lines if place.match(line)] == []
