"""What the query of an address may say: refused is what would be misread without a word."""

from __future__ import annotations

from collections.abc import Collection

from flask import request

from hal0app import errors

LARGEST = (1 << 63) - 1  # all that SQLite can count


def only(known: Collection[str]) -> None:
    """Refuse a word that nothing is asked by."""
    for name in request.args:
        if name not in known:
            raise invalid(name, f"there is no filter '{name[:64]}'; there are {', '.join(known)}")


def number(name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number within its bounds, or `default` where the query does not say."""
    text = request.args.get(name)
    if text is None:
        return default
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))
    if not digits or not lowest <= int(text) <= highest:
        raise invalid(name, f"'{name}' is '{text[:64]}', but must be a whole number from {lowest} to {highest}")
    return int(text)


def invalid(name: str, message: str) -> errors.Hal0Error:
    """The refusal of one word of the query."""
    return errors.error("request.invalid_field", message, param=name[:64])
