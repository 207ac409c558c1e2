"""A model's file as far as hal0 can see it, and how lemond's checkpoints name files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hal0app.core.gguf import GgufHeader

SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf")
REPOSITORY = re.compile(r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+):(?P<variant>.+)")


@dataclass(frozen=True)
class ModelFile:
    """What was found at `path`: all its parts together are `size` bytes.

    `problem` says what makes it useless; without one, a `header` of None means that it could not be understood.
    """

    path: str
    size: int
    header: GgufHeader | None = None
    problem: str | None = None


def parts(name: str) -> list[str]:
    """The names of all files that belong to a model of which `name` is the first (`a-00001-of-00003.gguf`)."""
    match = SHARD.fullmatch(name)
    if match is None:
        return [name]
    total = int(match["total"])
    return [f"{match['stem']}-{number:05}-of-{total:05}.gguf" for number in range(1, total + 1)]


def repository(checkpoint: str) -> tuple[str, str] | None:
    """The folder in a Hugging Face cache and the variant that `owner/name:variant` means; None for anything else."""
    match = REPOSITORY.fullmatch(checkpoint)
    return (f"models--{match['owner']}--{match['name']}", match["variant"]) if match else None


def choose(variant: str, paths: Iterable[str]) -> str | None:
    """The first file of the one model among `paths` that the variant names; None when none or several fit."""
    known = sorted(path for path in paths if "mmproj" not in path.lower())
    if variant in known:
        return variant
    fitting = [path for path in known if variant.lower() in path.lower() and _first(path)]
    return fitting[0] if len(fitting) == 1 else None


def _first(path: str) -> bool:
    match = SHARD.fullmatch(path)
    return match is None or int(match["number"]) == 1
