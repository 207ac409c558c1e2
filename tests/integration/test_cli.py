"""The `hal0` command against a running hal0, as a person or a script uses it."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import App
from tests.support.app import hal0 as serving
from tests.support.engines import Engine, free_port

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 4


def hal0(app: App, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; one that prints a traceback fails here."""
    command = [sys.executable, "-m", "hal0app", *words]
    variables = {**app.variables(), "HAL0_URL": app.url, **environment}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def told(app: App, *words: str) -> Any:
    """What the command prints as JSON."""
    ended = hal0(app, *words, "--json")
    assert ended.returncode == OK, ended.stderr
    return json.loads(ended.stdout)


def test_status_shows_hal0_lemonade_and_every_slot(app: App, tiny: Engine) -> None:
    text = hal0(app, "status").stdout
    assert app.url in text
    assert f"{tiny.health()['version']} answers" in text
    assert all(name in text for name in ("primary", "second", "damaged", "did you mean 'model'?"))
    facts = told(app, "status")
    assert facts["lemonade"]["link"] == "up"
    assert [slot["name"] for slot in facts["slots"]] == [slot["name"] for slot in app.get("/api/slots").json()]


def test_a_slot_is_made_shown_changed_pinned_and_deleted(app: App) -> None:
    made = told(app, "slots", "create", "mine", "type=llm", "model=chat-c", "ctx_size=512", "labels=a,b")
    assert (made["model"], made["ctx_size"], made["labels"]) == ("chat-c", 512, ["a", "b"])
    assert told(app, "slots", "show", "mine")["name"] == "mine"
    assert "chat-c" in hal0(app, "slots", "show", "mine").stdout
    changed = told(app, "slots", "edit", "mine", "priority=70", "ctx_size=null", 'labels=["c"]')
    assert (changed["priority"], changed["ctx_size"], changed["labels"]) == (70, None, ["c"])
    assert told(app, "slots", "pin", "mine")["pinned"] is True
    assert told(app, "slots", "unpin", "mine")["pinned"] is False
    assert hal0(app, "slots", "delete", "mine").returncode == OK
    assert app.get("/api/slots/mine").status_code == 404
    assert {one["agent"] for one in app.journal(kind="slot.config", slot="mine")} == {"cli"}


def test_a_slot_is_loaded_restarted_swapped_and_unloaded_and_each_waits_for_its_end(app: App) -> None:
    assert told(app, "slots", "load", "second")["state"] == "ready"
    assert told(app, "slots", "restart", "second")["state"] == "ready"
    swapped = told(app, "slots", "swap", "second", "chat-c")
    assert (swapped["model"], swapped["state"]) == ("chat-c", "ready")
    assert told(app, "slots", "swap", "second", "chat-b")["model"] == "chat-b"
    unloaded = told(app, "slots", "unload", "second")
    assert (unloaded["state"], unloaded["reason"]) == ("offline", "operator")


@pytest.mark.parametrize("words", ["slots", "models", "backends"])
def test_a_group_without_a_further_word_lists_also_as_json(app: App, words: str) -> None:
    assert [one.get("name", one.get("id")) for one in told(app, words)] == [
        one.get("name", one.get("id")) for one in told(app, words, "list")
    ]
    misplaced = hal0(app, words, "--json", "list")
    assert (misplaced.returncode, f"{words} list --json" in misplaced.stderr) == (USAGE, True)


def test_without_waiting_the_operation_is_named(app: App) -> None:
    operation = told(app, "slots", "load", "second", "--no-wait")["operation"]
    assert app.get(f"/api/operations/{operation}").json()["id"] == operation
    app.slot_is("second", "ready")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["slots", "show", "nobody"], "there is no slot 'nobody'"),
        (["slots", "create", "primary", "type=llm"], "(slot.exists)"),
        (["slots", "create", "x", "type=llm", "modle=a"], "did you mean 'model'?"),
        (["slots", "delete", "primary"], "turn it off instead"),
        (["slots", "load", "empty"], "no model is set"),
        (["models", "delete", "chat-a"], "(model.in_use)"),
        (["models", "delete", "chat-a", "--force"], "chat-a.gguf and restart Lemonade"),
        (["models", "pull", "Qwen3-0.6B-GGUF"], "offline"),
        (["backends", "install", "llamacpp:nonsense"], "there is no backend"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_told_in_one_line_and_the_exit_status_is_1(app: App, words: list[str], says: str) -> None:
    ended = hal0(app, *words)
    assert (ended.returncode, ended.stdout) == (REFUSED, "")
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["slots", "nonsense"],
        ["slots", "create", "x"],
        ["slots", "create", "x", "type"],
        ["backends", "install", "x"],
        ["drift", "--nonsense"],
        ["journal", "--level", "loud"],
    ],
    ids="-".join,
)
def test_a_command_line_that_makes_no_sense_is_exit_status_2(app: App, words: list[str]) -> None:
    ended = hal0(app, *words)
    assert ended.returncode == USAGE
    assert "Error:" in ended.stderr


@pytest.mark.parametrize(
    "words", [["status"], ["slots", "list"], ["slots", "load", "primary"], ["models"], ["journal"]]
)
def test_without_hal0_the_exit_status_is_4_and_the_address_is_named(app: App, words: list[str]) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = hal0(app, *words, HAL0_URL=nowhere)
    assert ended.returncode == UNREACHABLE
    assert nowhere in ended.stderr
    assert "systemctl status hal0" in ended.stderr


def test_an_address_that_is_none_is_a_usage_error(app: App) -> None:
    assert hal0(app, "status", HAL0_URL="here").returncode == USAGE


def test_models_and_backends_are_listed(app: App) -> None:
    assert {one["id"] for one in told(app, "models", "list")} >= {"chat-a", "embed-a"}
    assert "embed-a" in hal0(app, "models").stdout
    assert [one["id"] for one in told(app, "backends", "list")] == ["llamacpp:system"]


def test_the_journal_is_shown_and_filtered(app: App) -> None:
    app.post("/api/slots", {"name": "noted", "type": "llm"}).raise_for_status()
    hal0(app, "slots", "delete", "noted")
    entries = told(app, "journal", "--slot", "noted", "-n", "2")
    assert [one["message"] for one in entries] == ["slot noted was created", "slot noted was deleted"]
    lines = hal0(app, "journal", "--slot", "noted", "-q", "DELETED").stdout.splitlines()
    assert len(lines) == 1
    assert "slot.config" in lines[0]


def test_config_check_names_every_file_and_key_that_is_wrong(app: App, tmp_path: Path) -> None:
    ended = hal0(app, "config", "check")
    assert ended.returncode == REFUSED
    damaged = app.home / "etc" / "slots" / "damaged.toml"
    assert ended.stdout == f"{damaged}: unknown key 'modle'; did you mean 'model'?\n"

    etc = tmp_path / "etc"
    (etc / "slots").mkdir(parents=True)
    (etc / "conf.d").mkdir()
    (etc / "hal0.toml").write_text("[server]\nprot = 1\n")
    (etc / "conf.d" / "a.toml").write_text("[server\n")
    (etc / "slots" / "Bad Name.toml").write_text('type = "llm"\n')
    for name in ("one", "two"):
        (etc / "slots" / f"{name}.toml").write_text(
            f'type = "llm"\ndefault = true\nmodel = "m"\nctx_size = {len(name)}\n'
        )
    (etc / "slots" / "two.toml").write_text('type = "llm"\ndefault = true\nmodel = "m"\nctx_size = 9\n')
    checked = hal0(app, "config", "check", "--json", HAL0_HOME=str(tmp_path))
    assert checked.returncode == REFUSED
    found = json.loads(checked.stdout)["problems"]
    expected = ["did you mean 'port'", "a.toml: ", "'Bad Name' is not a slot name", "'default': one", "'model': one"]
    assert [text for text in expected if not any(text in line for line in found)] == []
    assert len(found) == len(expected)


def test_config_show_prints_what_is_in_force(app: App, tmp_path: Path) -> None:
    assert told(app, "config", "show")["server"]["port"] == app.port
    assert told(app, "config", "show")["slots"]["primary"]["model"] == "chat-a"
    assert f"port = {app.port}\n" in hal0(app, "config", "show").stdout
    sound = hal0(app, "config", "check", HAL0_HOME=str(tmp_path))
    assert (sound.returncode, sound.stdout) == (OK, f"{tmp_path / 'etc'}: everything makes sense\n")


def test_doctor_says_what_is_wrong_and_what_to_do(app: App, tiny: Engine) -> None:
    ended = hal0(app, "doctor", "--json")
    assert ended.returncode == REFUSED
    lines = json.loads(ended.stdout)
    failed = [one for one in lines if one["level"] == "fail"]
    assert all("damaged" in one["what"] and one["advice"] for one in failed)
    assert len(failed) == 2
    fine = " ".join(one["what"] for one in lines if one["level"] == "ok")
    assert app.url in fine
    assert tiny.health()["version"] in fine
    assert "GiB free" in fine


def test_doctor_without_hal0_and_lemonade_tells_both(app: App, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = hal0(app, "doctor", HAL0_HOME=str(tmp_path), HAL0_URL=nowhere, HAL0_LEMONADE_URL=nowhere)
    assert ended.returncode == REFUSED
    assert f"fail  hal0 does not answer at {nowhere}" in ended.stdout
    assert f"fail  Lemonade does not answer at {nowhere}" in ended.stdout
    assert "-> start it: systemctl start lemond" in ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_learns_to_complete(app: App, shell: str) -> None:
    script = hal0(app, "completion", shell)
    assert script.returncode == OK
    assert "_HAL0_COMPLETE" in script.stdout


def test_completion_knows_commands_and_slots(app: App) -> None:
    def completed(line: str) -> list[str]:
        words = line.split(" ")
        asked = {"_HAL0_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        return [one.partition(",")[2] for one in hal0(app, **asked).stdout.splitlines()]

    assert completed("hal0 jo") == ["journal"]
    assert completed("hal0 slots sh") == ["show"]
    assert completed("hal0 slots show se") == ["second"]


def imported(app: App, code: str, *libraries: str) -> list[str]:
    """Which of `libraries` are loaded after a Python process has run `code`."""
    tell = f"import sys\ntry:\n    {code}\nfinally:\n    print([one for one in {libraries} if one in sys.modules])"
    command = [sys.executable, "-c", tell]
    ended = subprocess.run(command, env=app.variables(), capture_output=True, text=True, timeout=60, check=False)
    found: list[str] = ast.literal_eval(ended.stdout.splitlines()[-1])
    return found


def test_drift_runs_without_the_libraries_of_other_commands(app: App) -> None:
    code = "sys.argv[1:] = ['drift']; from hal0app.cli.main import main; main()"
    assert imported(app, code, "click", "flask", "gevent", "requests", "tomlkit", "tempfile") == []
    assert imported(app, code, "msgspec") == ["msgspec"]


def test_a_command_that_asks_starts_without_the_server(app: App) -> None:
    assert imported(app, "import hal0app.cli.slots", "flask", "gevent", "requests", "msgspec") == []


def test_the_journal_is_followed_across_a_restart_of_hal0_without_losing_or_repeating(tiny: Engine) -> None:
    with serving(tiny.url, {"primary": {"type": "llm", "model": "chat-a"}}) as app:
        app.post("/api/slots", {"name": "one", "type": "llm"}).raise_for_status()
        with following(app) as lines:
            assert next(lines)["message"] == "slot one was created"
            app.post("/api/slots", {"name": "two", "type": "llm"}).raise_for_status()
            assert next(lines)["message"] == "slot two was created"
            app.stop()
            app.start()
            app.post("/api/slots", {"name": "three", "type": "llm"}).raise_for_status()
            assert next(lines)["message"] == "slot three was created"


def hear_ctrl_c() -> None:
    """A shell that runs the tests in the background makes them, and all they start, deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def following(app: App) -> Iterator[Iterator[dict[str, Any]]]:
    """The entries that `hal0 journal -f` prints, the newest first; Ctrl-C at the end, which is no failure."""
    command = [sys.executable, "-m", "hal0app", "journal", "-f", "-n", "1", "--kind", "slot.config", "--json"]
    environment = {**app.variables(), "HAL0_URL": app.url}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=hear_ctrl_c
    ) as process:
        assert process.stdout is not None
        try:
            yield map(json.loads, process.stdout)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == OK
        finally:
            process.kill()
