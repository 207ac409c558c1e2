"""Models that lemond pulls: from a registry of this machine's own, and from one that cannot be reached."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.installer.checkout import MODELS
from tests.installer.conftest import PLAY_S
from tests.installer.host import Host

REGISTRY = Path(__file__).with_name("registry.py")
PORT, NOBODY = 9443, 1
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out registry.pem -days 30 -subj /CN=localhost"
    " -addext subjectAltName=IP:127.0.0.1 2>/dev/null && cat registry.pem >> /etc/ssl/certs/ca-certificates.crt"
)
TINY = {"model_name": "user.Pulled", "checkpoint": "org/tiny:tiny-a.gguf", "recipe": "llamacpp"}


@pytest.fixture(scope="module")
def registry(installed: Host) -> Host:
    """A host with a registry on its loopback, which lemond takes for Hugging Face."""
    installed.copy(REGISTRY, "/root/registry.py")
    installed.run(CERTIFICATE)
    run = f"python3 /root/registry.py {MODELS}/tiny-a.gguf registry.pem key.pem {PORT}"
    installed.run(f"systemd-run --unit=registry --working-directory=/root {run}")
    return installed


def endpoint(host: Host, port: int) -> None:
    """Where lemond looks for models from now on."""
    folder = "/run/systemd/system/lemond.service.d"
    host.write(f"{folder}/50-registry.conf", f"[Service]\nEnvironment=HF_ENDPOINT=https://127.0.0.1:{port}\n")
    host.run("systemctl daemon-reload && systemctl restart lemond")


def install(host: Host, **variables: object) -> tuple[int, str]:
    """`make install` with variables from a file; its exit status and what it said."""
    host.write("/root/variables.yml", json.dumps({"hal0_extra_models_dir": MODELS, **variables}))
    done = host.run('cd hal0 && make install SET="@/root/variables.yml"', check=False, within=PLAY_S)
    return done.returncode, done.stdout


def test_a_model_is_pulled_and_its_progress_is_told(registry: Host) -> None:
    endpoint(registry, PORT)

    status, said = install(registry, hal0_models=[TINY])

    assert status == 0, said[-4000:]
    told = re.findall(r"^changed: \[localhost\] => \(item=user.Pulled (\d+) %\)$", said, re.MULTILINE)
    assert told == [str(percent) for percent in range(10, 101, 10)], said[-4000:]
    assert registry.says("hal0 models list").count("Pulled") == 1


def test_a_registry_out_of_reach_is_told_with_what_to_do(registry: Host) -> None:
    endpoint(registry, NOBODY)
    status, said = install(registry, hal0_models=["Qwen3-0.6B-GGUF"])
    assert status != 0
    said = " ".join(said.split())
    assert "Qwen3-0.6B-GGUF could not be downloaded: CURL error" in said, said[-3000:]
    assert "this host does not reach the internet" in said
