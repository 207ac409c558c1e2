"""Config drift: where lemond's configuration is not what hal0.toml wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hal0app.core.lemond_config import nested


@dataclass(frozen=True)
class Difference:
    """One key (dotted) with what is wanted and what lemond has; `has` is None when lemond has no such key."""

    key: str
    wanted: Any
    has: Any

    @property
    def text(self) -> str:
        return f"lemond has {self.key} = {self.has!r}, hal0.toml wants {self.wanted!r}"


def differences(wanted: Mapping[str, Any], has: Mapping[str, Any], prefix: str = "") -> Iterator[Difference]:
    """The keys of `wanted` that differ in `has`; keys absent from `wanted` are not compared."""
    for key, value in wanted.items():
        dotted, found = prefix + key, has.get(key)
        if isinstance(value, Mapping):
            yield from differences(value, found if isinstance(found, Mapping) else {}, f"{dotted}.")
        elif found != value:
            yield Difference(dotted, value, found)


def restated(found: Iterable[Difference]) -> dict[str, Any]:
    """The wanted values of differences as one nested mapping, which is what `/internal/set` takes."""
    return nested({one.key: one.wanted for one in found})
