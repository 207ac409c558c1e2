"""installer/said.py: what SET says, in each of its forms, and what it may not say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "installer" / "said.py"


def say(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        env={**os.environ, "SET": text},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", {}),
        ("hal0_port=8081 hal0_proxy=true", {"hal0_port": "8081", "hal0_proxy": "true"}),
        ("hal0_extra_models_dir='/srv/my models'", {"hal0_extra_models_dir": "/srv/my models"}),
        ("hal0_pip_args=--find-links=/srv/wheels", {"hal0_pip_args": "--find-links=/srv/wheels"}),
        ('{"hal0_port": 8081, "hal0_models": ["a", "b"]}', {"hal0_port": 8081, "hal0_models": ["a", "b"]}),
        ("{hal0_proxy: true}", {"hal0_proxy": True}),
    ],
)
def test_its_forms(text: str, said: dict[str, object]) -> None:
    assert json.loads(say(text, "here").stdout) == {**said, "hal0_said": said}


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "settings.yml"
    file.write_text("hal0_models:\n  - {model_name: user.Mine, recipe: llamacpp}\n")
    assert json.loads(say(f"@{file}").stdout) == {"hal0_models": [{"model_name": "user.Mine", "recipe": "llamacpp"}]}


def test_hosts_of_an_inventory_remember_nothing_and_ansibles_own_variables_are_of_one_run() -> None:
    text = "hal0_port=8081 ansible_python_interpreter=/usr/bin/python3.12 hal0_serial=2"
    assert "hal0_said" not in json.loads(say(text).stdout)
    assert json.loads(say(text, "here").stdout)["hal0_said"] == {"hal0_port": "8081"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hal0_prot=8081", "there is no variable hal0_prot; did you mean hal0_port?"),
        ("hal0_port 8081", "'hal0_port' is not name=value"),
        ("8081=x", "'8081' is not name=value"),
        ("hal0_port='8081", "SET cannot be read"),
        ("@/nowhere/settings.yml", "/nowhere/settings.yml cannot be read"),
        ("{hal0_port: [}", "is not YAML"),
        ("@/dev/null", "must hold name: value"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(text: str, why: str) -> None:
    done = say(text, "here")
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr
