"""This checkout on a host, as `git clone` would bring it: the files that git knows or would add."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.installer.host import Host
from tests.support import models

ROOT = Path(__file__).resolve().parents[2]
MODELS, TYPED = "/srv/models", "/srv/typed"
# Lemonade takes any GGUF file for a chat model; these two say what they are (lemonade.md).
USER_MODELS = f"""\
{{"tiny-embed": {{"checkpoint": "{TYPED}/tiny-embed.gguf", "source": "local_path", "recipe": "llamacpp",
  "labels": ["embeddings"], "suggested": true}},
 "tiny-rerank": {{"checkpoint": "{TYPED}/tiny-rerank.gguf", "source": "local_path", "recipe": "llamacpp",
  "labels": ["reranking"], "suggested": true}}}}
"""


def files() -> list[Path]:
    """The checkout's files, relative to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return [Path(name) for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def bring(host: Host, to: str = "/root/hal0") -> None:
    """Copy the checkout to the host."""
    for file in files():
        target = host.root / to.lstrip("/") / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target)


def bring_models(host: Host) -> None:
    """Two chat models, an embedding and a reranking model, as an operator would have them on the disk."""
    for name in ("tiny-a", "tiny-b"):
        host.copy(models.chat(), f"{MODELS}/{name}.gguf")
    host.copy(models.embed(), f"{TYPED}/tiny-embed.gguf")
    host.copy(models.rerank(), f"{TYPED}/tiny-rerank.gguf")
    host.write("/var/lib/lemonade/user_models.json", USER_MODELS)
    host.run(f"chmod -R a+rX {MODELS} {TYPED} /var/lib/lemonade")
