"""lemond's log as evidence: lines as a real lemond 2026.39.1 wrote them."""

from __future__ import annotations

from hal0app.core.lemond_log import LogReader, Wipe

WIPE = """
2026-11-23 19:43:02.990 [Info] (Server) Ensuring model loaded: broken
2026-11-23 19:43:02.996 [Info] (LlamaCpp) Loading model: extra.broken
2026-11-23 19:43:02.998 [Info] (ProcessManager) Process started successfully, PID: 15120
2026-11-23 19:43:03.099 [Error] (WrappedServer) llama-server process has terminated with exit code: 1
2026-11-23 19:43:03.100 [Error] (Router) Backend load failed: llama-server failed to start
2026-11-23 19:43:03.100 [Warn] (Router) Load failed with non-file-not-found error, evicting all models and retrying...
2026-11-23 19:43:03.100 [Info] (Router) Evicting all models (2 total)
2026-11-23 19:43:03.100 [Info] (Router) Evicting model: extra.chat-a
2026-11-23 19:43:05.201 [Info] (Router) Evicted model: extra.chat-a
2026-11-23 19:43:05.201 [Info] (Router) Evicting model: user.embed-a
2026-11-23 19:43:07.302 [Info] (Router) Evict all completed. Remaining tombstoned models: 0
2026-11-23 19:43:07.302 [Info] (LlamaCpp) Loading model: extra.broken
2026-11-23 19:43:07.517 [Error] (Router) Retry also failed: llama-server failed to start
2026-11-23 19:43:07.517 [Error] (Router) Failed to load model: llama-server failed to start
""".strip().splitlines()

UNLOAD_ALL = """
2026-11-23 19:43:08.529 [Info] (LlamaCpp) Loading model: extra.chat-a
2026-11-23 19:43:08.637 [Info] (Router) Model loaded successfully. Total loaded: 1
2026-11-23 19:43:08.639 [Info] (Router) Unload all models called
2026-11-23 19:43:08.639 [Info] (Router) Evicting all models (1 total)
2026-11-23 19:43:08.639 [Info] (Router) Evicting model: extra.chat-a
2026-11-23 19:43:10.741 [Info] (Router) Evict all completed. Remaining tombstoned models: 0
""".strip().splitlines()


def told(lines: list[str]) -> list[Wipe]:
    reader = LogReader()
    return [wipe for line in lines if (wipe := reader.read(line)) is not None]


def test_a_wipe_is_told_with_its_trigger_its_cause_and_its_victims() -> None:
    cause = "llama-server failed to start"
    assert told(WIPE) == [
        Wipe("broken", cause),
        Wipe("broken", cause, ("chat-a",)),
        Wipe("broken", cause, ("chat-a", "embed-a")),
        Wipe("broken", cause, ("chat-a", "embed-a"), over=True),
    ]


def test_a_victim_is_named_before_the_next_one_is_evicted() -> None:
    upto = next(number for number, line in enumerate(WIPE) if "Evicting model: extra.chat-a" in line)
    assert told(WIPE[: upto + 1])[-1].victims == ("chat-a",)


def test_somebody_who_unloads_everything_is_no_wipe() -> None:
    assert told(UNLOAD_ALL) == []


def test_a_wipe_after_which_the_load_works_is_over_too() -> None:
    healed = [*WIPE[:-2], "x [Info] (Router) Model loaded successfully. Total loaded: 1"]
    assert told(healed)[-1].over


def test_one_wipe_does_not_colour_the_next_load() -> None:
    assert told([*WIPE, *UNLOAD_ALL]) == told(WIPE)
