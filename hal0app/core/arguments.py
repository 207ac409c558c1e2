"""The options of llama-server: those in a command line fragment, those its `--help` lists, and those not to be set."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

FLAG = re.compile(r"--?[A-Za-z][^\s]*")
HEAD = re.compile(r"--?[^\s,-][^\s,]*(?:,\s+-[^\s,]+)*")
FEWEST = 20  # a help that lists fewer options was not understood

# What lemond sets itself: it prints this list when it refuses one of them, and the refusal wipes every model
# (recorded in b14_load_bad_args). The alias and the number of parallel sequences are hal0's to set.
RESERVED = frozenset(
    {
        *("-m", "--model", "-c", "--ctx-size", "--host", "--port", "-dev", "--device", "--jinja", "--no-jinja"),
        *("-mm", "--mmproj", "-mmu", "--mmproj-url", "--mmproj-auto", "--no-mmproj", "--no-mmproj-auto"),
        *("-md", "--model-draft", "--spec-draft-model", "--metrics"),
        *("--embedding", "--embeddings", "--rerank", "--reranking", "-a", "--alias", "-np", "--parallel"),
    }
)


def flags(args: str) -> list[str]:
    """The options of a fragment in llama.cpp's spelling, in order; a `=value` stays, a negative number is none.

    Raises ValueError on open quotes.
    """
    return [_spelled(word) for word in shlex.split(args) if FLAG.fullmatch(word)]


def _spelled(word: str) -> str:
    """llama.cpp reads `--ctx_size` as `--ctx-size`."""
    name, sign, given = word.partition("=")
    return (name.replace("_", "-") if name.startswith("--") else name) + sign + given


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
