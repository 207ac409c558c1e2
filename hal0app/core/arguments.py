"""The options of llama-server: those in a command line fragment, those its `--help` lists, and those not to be set."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from hal0app.core.slot_config import RESERVED_ARGS

FLAG = re.compile(r"--?[A-Za-z][^\s]*")
HEAD = re.compile(r"--?[^\s,-][^\s,]*(?:,\s+-[^\s,]+)*")
FEWEST = 20  # a help that lists fewer options was not understood

# The list that lemond prints when it refuses one (recorded in b14_load_bad_args), beyond what a slot file refuses.
MANAGED = frozenset({"--metrics", "--no-jinja", "--no-mmproj-auto", "--spec-draft-model", "-mm", "-mmu"})
RESERVED = RESERVED_ARGS | MANAGED


def flags(args: str) -> list[str]:
    """The options of a fragment in llama.cpp's spelling, in order; a `=value` stays, a negative number is none.

    Raises ValueError on open quotes.
    """
    return [_spelled(word) for word in shlex.split(args) if FLAG.fullmatch(word)]


def _spelled(word: str) -> str:
    """llama.cpp reads `--ctx_size` as `--ctx-size`."""
    return word.replace("_", "-") if word.startswith("--") and "=" not in word else word


def value(args: str, names: Iterable[str]) -> str | None:
    """The value that the last of the options `names` has in the fragment."""
    words = shlex.split(args)
    places = [place for place, word in enumerate(words[:-1]) if word in set(names)]
    return words[places[-1] + 1] if places else None


def reserved(args: str) -> list[str]:
    """The options of the fragment that hal0 or lemond sets itself."""
    return sorted({flag.split("=", 1)[0] for flag in flags(args)} & RESERVED)


def unknown(args: str, known: frozenset[str]) -> list[str]:
    """The options of the fragment that are not in `known`."""
    return [flag for flag in flags(args) if flag not in known]


def read_help(text: str) -> frozenset[str] | None:
    """The options that the output of `llama-server --help` lists; None when it does not look like it."""
    heads = (HEAD.match(line) for line in text.splitlines())
    found = frozenset(name for head in heads if head for name in re.split(r",\s+", head.group()))
    return found if len(found) >= FEWEST and "--model" in found else None
