"""Models that lemond pulls: from a registry of this machine's own, and from one that cannot be reached."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.installer.checkout import MODELS
from tests.installer.conftest import PLAY_S, roles
from tests.installer.host import Host

REGISTRY = Path(__file__).with_name("registry.py")
PORT = 9443
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out registry.pem -days 30 -subj /CN=localhost"
    " -addext subjectAltName=IP:127.0.0.1 2>/dev/null && cat registry.pem >> /etc/ssl/certs/ca-certificates.crt"
)
TINY = {"model_name": "user.Pulled", "checkpoint": "org/tiny:tiny-a.gguf", "recipe": "llamacpp"}


@pytest.fixture
def registry(installed: Host) -> Host:
    """A host with a registry on its loopback, which lemond takes for Hugging Face."""
    installed.copy(REGISTRY, "/root/registry.py")
    installed.run(CERTIFICATE)
    run = f"python3 /root/registry.py {MODELS}/tiny-a.gguf registry.pem key.pem {PORT}"
    installed.run(f"systemd-run --unit=registry --working-directory=/root {run}")
    instead = f"[Service]\nEnvironment=HF_ENDPOINT=https://127.0.0.1:{PORT}\n"
    installed.write("/etc/systemd/system/lemond.service.d/50-registry.conf", instead)
    installed.run("systemctl daemon-reload && systemctl restart lemond")
    return installed


def test_models_are_pulled_with_progress_and_one_that_does_not_come_is_told(registry: Host) -> None:
    variables = {"hal0_extra_models_dir": MODELS, "hal0_models": [TINY, "Qwen3-0.6B-GGUF"]}
    registry.write("/root/variables.yml", json.dumps(variables))

    done = registry.run(roles("lemonade,models", "@/root/variables.yml"), check=False, within=PLAY_S)

    told = re.findall(r"^changed: \[localhost\] => \(item=user.Pulled (\d+) %\)$", done.stdout, re.MULTILINE)
    assert told == [str(percent) for percent in range(10, 101, 10)], done.stdout[-4000:]
    assert registry.says("hal0 models list").count("Pulled") == 1
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "Qwen3-0.6B-GGUF could not be downloaded:" in said, done.stdout[-3000:]
    assert "What to do:" in said
