"""The engine's config.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal0app.embedded.config import DEFAULTS, Config
from hal0app.embedded.errors import EngineError


def test_only_what_differs_from_the_defaults_is_written(tmp_path: Path) -> None:
    config = Config(tmp_path / "config.json")
    config.set({"max_loaded_models": 8, "llamacpp": {"args": "--threads 4"}, "offline": DEFAULTS["offline"]})
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == {"config_version": 2, "max_loaded_models": 8, "llamacpp": {"args": "--threads 4"}}


def test_a_file_is_read_and_its_unknown_keys_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"max_loaded_models": 3, "flm": {"args": "x"}}')
    config = Config(path)
    config.set({"ctx_size": 2048})
    assert config.max_loaded_models == 3
    assert json.loads(path.read_text())["flm"] == {"args": "x"}


def test_overrides_are_not_written(tmp_path: Path) -> None:
    config = Config(tmp_path / "config.json")
    config.override(port=4321)
    assert config["port"] == 4321
    assert Config(tmp_path / "config.json")["port"] == DEFAULTS["port"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"llamacpp": {"nope": 1}}, "llamacpp.nope"),
        ({"llamacpp": "x"}, "'llamacpp' must be an object"),
        ({"llamacpp_backend": "vulkan"}, "'llamacpp.backend' must be one of"),
        ({"offline": 1}, "'offline' must be a boolean"),
        ({"ctx_size": True}, "'ctx_size' must be an integer"),
        ({"cloud_providers": []}, "Unknown config key"),
    ],
)
def test_a_bad_change_names_its_key(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(EngineError, match=words) as refused:
        Config(tmp_path / "config.json").set(change)
    assert refused.value.status == 400
    assert not (tmp_path / "config.json").exists()
