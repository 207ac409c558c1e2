"""Runs on a host: has lemond bring one model or backend, and says how far it is. Standard library only.

    bring.py ID PERCENT SECONDS   ID is model:NAME or backend:RECIPE:BACKEND. Starts it unless it is there or under way,
                                  and returns when PERCENT of it are here. Exit status 1 and the fix when that fails.
    bring.py backends             prints the backends that the models want, as JSON: those that can be installed, and
                                  why others cannot
    bring.py recipes              prints the recipes that some backend runs, or could, as a JSON list

HAL0_LEMONADE_PORT and HAL0_LEMONADE_KEY say where lemond is, HAL0_PULL is the body of its POST /v1/pull as JSON. The
shapes are those of a real lemond (docs/operate.md); a download is lemond's own and goes on if this program ends.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

USABLE, TO_INSTALL = {"installed", "update_available"}, {"installable", "update_required"}
JOB = {"stream": True, "subscribe": False}
ANSWER_S = 120.0  # a pull by checkpoint asks its registry before it answers
PERIOD_S = 2.0
REFUSED = 400
WHOLE = 100  # per cent
# What lemond says of a failure -> what to do about it; the first that fits.
FIXES = (
    (
        r"unknown_model|must include the `user` namespace|not registered",
        "Lemonade has no model of this name: `lemonade list` tells those it has. For another one give "
        "model_name=user.NAME, checkpoint and recipe",
    ),
    (
        r"lemond_offline|offline",
        "Lemonade is set to stay offline: set offline to false in hal0_lemonade_config, or bring files "
        "(hal0_extra_models_dir)",
    ),
    (r"No space|disk|write", "there is no room, or no right to write, where Lemonade keeps its models: df -h /var"),
    (r"\b40[13]\b|gated|[Uu]nauthori", "the model wants an account: HF_TOKEN=... in /etc/default/lemond, then again"),
    (
        r"CURL|resolve host|connect|[Tt]imed? ?out|Download failed",
        "this host does not reach the internet, `curl -I https://huggingface.co` must answer there; or put GGUF files "
        "into a folder of it: hal0_extra_models_dir=/srv/models",
    ),
)
OTHER_FIX = "journalctl -u lemond tells more"


class Failed(Exception):
    """What lemond was asked for does not come; the text says why and what to do."""


def ask(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """lemond's answer. Raises Failed when it refuses, or does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HAL0_LEMONADE_PORT"]), timeout=ANSWER_S)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['HAL0_LEMONADE_KEY']}"}
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except OSError as problem:
        raise Failed(f"Lemonade does not answer ({problem}): systemctl status lemond") from problem
    finally:
        connection.close()
    try:
        told = json.loads(text)
    except ValueError:
        told = {"error": text[:500]}
    if answer.status >= REFUSED:
        raise refusal(told)
    return told


def refusal(told: Any) -> Failed:
    """lemond's error with the fix; its shapes are lemonade-contract.md section 4."""
    error = told.get("error", told) if isinstance(told, dict) else told
    text = error.get("message", "") if isinstance(error, dict) else str(error)
    seen = f"{text} {told.get('code', '') if isinstance(told, dict) else ''}"
    fix = next((fix for pattern, fix in FIXES if re.search(pattern, seen)), OTHER_FIX)
    return Failed(f"{' '.join(text.split())[:600] or 'Lemonade does not say why'}. What to do: {fix}.")


def models() -> list[dict[str, Any]]:
    """The models that are on the disk."""
    found: list[dict[str, Any]] = ask("GET", "/v1/models")["data"]
    return found


def system_info() -> dict[str, Any]:
    """The machine as lemond sees it, with the recipes and their backends."""
    found: dict[str, Any] = ask("GET", "/v1/system-info")
    return found


def is_there(id_: str) -> bool:
    """Whether the model or backend can be used."""
    kind, _, name = id_.partition(":")
    if kind == "model":
        return bool({name, name.removeprefix("user.")} & {one["id"] for one in models()})
    recipe, _, backend = name.partition(":")
    state = system_info()["recipes"].get(recipe, {}).get("backends", {}).get(backend, {}).get("state")
    return state in USABLE


def start(id_: str) -> None:
    """Let lemond begin. Raises Failed, also where a person has to do something first."""
    kind, _, name = id_.partition(":")
    if kind == "model":
        ask("POST", "/v1/pull", {**json.loads(os.environ["HAL0_PULL"]), **JOB})
        return
    recipe, _, backend = name.partition(":")
    told = ask("POST", "/v1/install", {"recipe": recipe, "backend": backend, **JOB})
    if isinstance(told, dict) and told.get("action"):
        raise Failed(f"Lemonade cannot install {name} by itself. What to do: follow {told['action']}, then again.")


def row(id_: str) -> dict[str, Any]:
    """lemond's row of the download; empty when it has none: one that is complete leaves the list after 30 s."""
    return next((one for one in ask("GET", "/v1/downloads") if one.get("id") == id_), {})


def arrived(id_: str, percent: int) -> bool:
    """Whether so much is here. Raises Failed for a download that has ended otherwise."""
    now = row(id_)
    status = now.get("status", "gone")
    if status in ("gone", "completed") and is_there(id_):
        return True
    if status == "error":
        raise refusal(now)
    if status not in ("downloading", "completed"):
        raise Failed(
            f"the download of {id_} is {status}: somebody ended it, or Lemonade was restarted. Run this again."
        )
    total = now.get("total_download_size") or 0
    return percent < WHOLE and total > 0 and WHOLE * (now.get("overall_bytes_downloaded") or 0) >= percent * total


def bring(id_: str, percent: int, seconds: float) -> None:
    """Start it where needed, and wait for `percent` of it. Raises Failed."""
    if is_there(id_):
        return
    end = time.monotonic() + seconds
    if row(id_).get("status") != "downloading":
        start(id_)
    while not arrived(id_, percent):
        if time.monotonic() > end:
            raise Failed(f"{id_} has not come within {seconds:.0f} s; it goes on. Run this again to wait for it.")
        time.sleep(PERIOD_S)
    print(f"{id_} is installed now" if percent == WHOLE else f"{percent} % of {id_} are here")


def backends(root: Path = Path("/")) -> dict[str, list[str]]:
    """What the models need and is not there; llama.cpp in any case, FastFlowLM where there is an NPU."""
    info = system_info()
    gpu = any(one.get("available", True) for one in info.get("devices", {}).get("amd_gpu") or [])
    wanted = {"llamacpp", *(one.get("recipe", "") for one in models())}
    if (root / "dev/accel/accel0").exists():
        wanted.add("flm")
    install, impossible = [], []
    for recipe in sorted(wanted & info["recipes"].keys()):
        facts = info["recipes"][recipe]
        candidates = missing(recipe, facts, gpu)
        if candidates is not None and not candidates:
            reasons = {one.get("message", "") for one in facts.get("backends", {}).values()}
            impossible.append(f"{recipe}: {'; '.join(sorted(filter(None, reasons)))}")
        elif candidates:
            install.append(f"{recipe}:{candidates[0]}")
    return {"install": install, "impossible": impossible}


def missing(recipe: str, facts: Mapping[str, Any], gpu: bool) -> list[str] | None:
    """The backends of a recipe that could be installed, its default first; None when one is there.

    One that can be used is enough, but llama.cpp's for the processor alone is not where there is a GPU.
    """
    states = {name: one.get("state") for name, one in facts.get("backends", {}).items()}
    usable = {name for name, state in states.items() if state in USABLE}
    if recipe == "llamacpp" and gpu:
        states.pop("cpu", None)
        usable.discard("cpu")
    installable = [name for name in sorted(states) if states[name] in TO_INSTALL]
    return None if usable else sorted(installable, key=lambda name: name != facts.get("default_backend"))


def recipes() -> list[str]:
    """The recipes with a backend that can be used or installed."""
    return [
        recipe
        for recipe, facts in sorted(system_info()["recipes"].items())
        if any(one.get("state") in USABLE | TO_INSTALL for one in facts.get("backends", {}).values())
    ]


LISTS = {"backends": backends, "recipes": recipes}


def main(arguments: list[str]) -> int:
    try:
        if arguments[0] in LISTS:
            print(json.dumps(LISTS[arguments[0]]()))
        else:
            id_, percent, seconds = arguments
            bring(id_, int(percent), float(seconds))
    except Failed as problem:
        print(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
