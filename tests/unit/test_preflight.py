"""core/preflight and all that gives it facts: every refusal with its next step, and nothing refused unknown."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hal0app import errors
from hal0app.adapters.gguf_files import GgufFiles
from hal0app.adapters.lemonade_library import LemonadeLibrary
from hal0app.adapters.llama_help import LlamaHelp
from hal0app.adapters.memory import MemoryFiles
from hal0app.adapters.memory_use import MemoryUseTable
from hal0app.core import arguments
from hal0app.core.backends import Backend, missing, read_backends
from hal0app.core.memory import GIB, MARGIN, Estimate, HostMemory, ProcessMemory
from hal0app.core.model import Model, load_request
from hal0app.core.model_file import ModelFile, choose, parts, repository
from hal0app.core.preflight import CHECKS, Facts, refusal
from hal0app.core.residency import read_health
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device, SlotType
from hal0app.errors import Hal0Error
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Want
from hal0app.services.ports import LlamaOptions, MemorySource, MemoryUse, ModelFiles, Recipes
from hal0app.services.preflight import Preflight, Sources
from hal0app.services.quarantines import Quarantines
from tests.support import models
from tests.unit.fakes import FakeLemond, HandClock, House, MemoryStates, at, resident, seen, slot
from tests.unit.test_memory import LLAMA

HELP = (Path(__file__).resolve().parents[1] / "data" / "llama-server-help.txt").read_text()
SCRIPT = '#!/bin/sh\necho asked >> "$0.asked"\ncat "{text}"\n'
M = Model("m")
SOUND = ModelFile("/models/m.gguf", GIB, LLAMA)
KNOWN = arguments.read_help(HELP)
WHISPER = (Backend("vulkan", "installable"), Backend("cpu", "installable"), Backend("rocm", "unsupported", "No GPU"))


def facts(**more: Any) -> Facts:
    return Facts(**{"name": "m", "model": M, "slot": slot(), **more})


REFUSED: dict[str, tuple[Facts, str]] = {
    "model.unknown": (facts(model=None), "See GET /v1/models"),
    "model.other_name": (facts(name="user.m"), "Lemonade lists 'user.m' as 'm': make that the slot's model"),
    "model.not_downloaded": (facts(model=Model("m", downloaded=False)), "POST /api/models/pull"),
    "model.type_mismatch": (facts(slot=slot(type="embedding")), "serves embedding, but 'm' is a model for llm"),
    "model.quarantined": (facts(quarantined=errors.error("model.quarantined", "it failed twice")), "it failed twice"),
    "model.corrupt": (
        facts(file=replace(SOUND, problem="truncated")), "(/models/m.gguf: truncated). Pull it again: POST /api/models"
    ),
    "backend.not_installed": (
        facts(name="w", model=Model("w", SlotType.TRANSCRIPTION, "whispercpp"), slot=None, backends=WHISPER),
        "whisper.cpp (vulkan) is not installed. Install it: POST /api/backends/whispercpp:vulkan/install, or the ",
    ),
    "npu.busy": (facts(npu_holder="other"), "the NPU is taken by 'other'"),
    "args.unknown": (facts(slot=slot(llamacpp_args="--thread 2"), flags=KNOWN), "no --thread; did you mean --threads?"),
    "model.context_exceeded": (facts(slot=slot(ctx_size=131073), file=SOUND), "131073 tokens to a request"),
    "memory.insufficient": (
        facts(memory=Estimate(41 * GIB, 12 * GIB, 8 * GIB)),
        "'m' needs 41.0 GiB, but 12.0 GiB are free and 8.0 GiB more once room is made. Choose a smaller",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_each_refusal_has_its_code_and_says_what_to_do(code: str) -> None:
    about, text = REFUSED[code]
    problem = refusal(about)
    assert problem is not None
    assert problem.code == code
    assert text in problem.message
    assert errors.CODES[code].status in {400, 404, 409}


def test_every_check_has_an_example() -> None:
    assert len(CHECKS) == len(REFUSED) + 1, "args.reserved is the one: no slot with such args can be made"


def test_reserved_arguments_are_refused_however_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Facts, "args", "--metrics --ctx_size 5 --port=1")
    problem = refusal(facts())
    assert problem is not None
    assert (problem.code, problem.details["flags"]) == ("args.reserved", ["--ctx-size", "--metrics", "--port"])


def test_nothing_is_refused_for_want_of_knowledge() -> None:
    assert refusal(facts()) is None
    assert refusal(facts(slot=None)) is None
    told = facts(slot=slot(llamacpp_args="--novel -x"), flags=None, backends=(), file=ModelFile("/m", GIB))
    assert refusal(told) is None


def test_numbers_come_with_the_refusal_in_bytes() -> None:
    problem = refusal(REFUSED["memory.insufficient"][0])
    assert problem is not None
    assert problem.details == {"needs": 41 * GIB, "free": 12 * GIB, "would_free": 8 * GIB, "learned": False}


def test_a_context_is_shared_by_the_parallel_requests_and_may_be_stretched() -> None:
    assert refusal(facts(slot=slot(ctx_size=4 * 131072, max_in_flight=4), file=SOUND)) is None
    assert refusal(facts(slot=slot(ctx_size=4 * 131072, llamacpp_args="--rope-scale 4"), file=SOUND)) is None
    by_lemonade = refusal(facts(model=Model("m", context=2048), slot=slot(ctx_size=4096)))
    assert by_lemonade is not None
    assert by_lemonade.details["context"] == 2048


# -- arguments


def test_the_help_of_a_real_llama_server_is_understood() -> None:
    assert KNOWN is not None
    assert {"--threads", "-t", "-kvo", "--no-kv-offload", "-ot", "--alias", "--fit"} <= KNOWN
    assert {"--no-mmap", "--threads=4", "-----"}.isdisjoint(KNOWN)
    assert all(arguments.FLAG.fullmatch(one) for one in KNOWN)


@pytest.mark.parametrize("text", ["", "error while loading shared libraries: libggml.so", HELP[:1500]])
def test_what_is_no_help_is_not_understood(text: str) -> None:
    assert arguments.read_help(text) is None


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ("--threads 4 -fa on --cache-ram -1 --predict -2", []),
        ("--threads=4", ["--threads=4"]),
        ("--cache_type_k q8_0 --slot_save_path '/a b'", []),
        ("--chat-template '-hello there'", []),
        ("--no-such --nor-that", ["--no-such", "--nor-that"]),
    ],
)
def test_unknown_flags_are_told_from_values(args: str, found: list[str]) -> None:
    assert KNOWN is not None
    assert arguments.unknown(args, KNOWN) == found


def test_a_flag_with_an_equals_sign_is_put_right() -> None:
    problem = refusal(facts(slot=slot(llamacpp_args="--threads=4"), flags=KNOWN))
    assert problem is not None
    assert problem.message.endswith("no --threads=4; write '--threads 4'")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "help").write_text(HELP)
    program = tmp_path / "llama-server"
    program.write_text(SCRIPT.format(text=tmp_path / "help"))
    program.chmod(0o755)
    return program


def test_a_program_is_asked_once_until_it_changes(script: Path) -> None:
    asked, llama = script.with_suffix(".asked"), LlamaHelp()
    assert llama.options(str(script)) == llama.options(str(script)) == KNOWN
    assert asked.read_text() == "asked\n"
    script.write_text(script.read_text() + "\n")
    assert llama.options(str(script)) == KNOWN
    assert asked.read_text() == "asked\nasked\n"


def test_the_embedded_engines_server_is_asked_too() -> None:
    known = LlamaHelp().options(f"{sys.executable} -m hal0app.embedded.child")
    assert known is not None
    assert {"--threads", "-c", "--reranking"} <= known


def test_nothing_else_is_run(script: Path) -> None:
    other = script.rename(script.with_name("rm"))
    for program in (str(other), f"{other} -m llama-server", f"{sys.executable} -m this", "", "/nowhere/llama-server"):
        assert LlamaHelp().options(program) is None
    assert not other.with_suffix(".asked").exists()


def test_a_program_that_fails_is_not_known(script: Path) -> None:
    script.write_text("no program at all")
    assert LlamaHelp().options(str(script)) is None


# -- backends


def recipes() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[1] / "data" / "lemond" / "a13_system_info.json"
    found: dict[str, Any] = json.loads(path.read_text())["response"]["body"]["recipes"]
    return found


@pytest.mark.parametrize(
    ("recipe", "device", "told"),
    [
        ("llamacpp", None, None),
        ("llamacpp", Device.CPU, None),
        ("llamacpp", Device.GPU_VULKAN, "llama.cpp (vulkan) is not installed. Install it: POST /api/backends/"),
        ("llamacpp", Device.GPU_ROCM, "llama.cpp (rocm) cannot be used on this machine: Unsupported GPU"),
        ("whispercpp", Device.CPU, "whisper.cpp (cpu) is not installed. Install it: POST /api/backends/"),
        ("whispercpp", None, "whisper.cpp (vulkan) is not installed"),
        ("kokoro", Device.GPU_VULKAN, "Kokoro (cpu) is not installed"),
        ("flm", Device.NPU, "FastFlowLM (npu) cannot be used on this machine: Requires AMD XDNA 2 AMD NPU"),
        ("novel", None, None),
    ],
)  # fmt: skip
def test_the_missing_backend_is_named_from_what_a_real_lemond_says(
    recipe: str, device: Device | None, told: str | None
) -> None:
    problem = missing(recipe, read_backends(recipes().get(recipe, {})), device)
    assert problem is None if told is None else problem is not None and problem.startswith(told)


# -- files


def test_a_sound_file_is_read_and_a_truncated_one_has_a_problem(tmp_path: Path) -> None:
    sound = GgufFiles().file(str(models.chat()))
    assert sound is not None
    assert sound.header is not None
    assert (sound.size, sound.problem, sound.header.architecture) == (models.chat().stat().st_size, None, "llama")
    broken = GgufFiles().file(str(models.broken()))
    assert broken is not None
    assert broken.problem is not None
    assert broken.problem.startswith("truncated: ")
    (tmp_path / "empty.gguf").touch()
    empty = GgufFiles().file(str(tmp_path / "empty.gguf"))
    assert empty is not None
    assert empty.problem


def test_the_unloadable_model_of_the_tests_looks_sound() -> None:
    file = GgufFiles().file(str(models.unloadable()))
    assert file is not None
    assert (file.problem, file.header is None) == (None, False)


def test_what_is_not_to_be_seen_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "folder.gguf").mkdir()
    files = GgufFiles(caches=[tmp_path])
    for checkpoint in ("", str(tmp_path / "absent.gguf"), str(tmp_path / "folder.gguf"), "/etc/passwd", "o/n:q", "x"):
        assert files.file(checkpoint) is None


def test_a_newer_kind_of_gguf_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 9) + bytes(100))
    assert GgufFiles().file(str(path)) == ModelFile(str(path), 108)


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    path, works = tmp_path / "m.gguf", [0]

    def count(work: Callable[[], Any]) -> Any:
        works[0] += 1
        return work()

    files = GgufFiles(count)
    path.write_bytes(models.chat().read_bytes())
    first = files.file(str(path))
    assert files.file(str(path)) is first
    path.write_bytes(path.read_bytes()[:-10])
    again = files.file(str(path))
    assert again is not None
    assert again.problem
    assert works == [3]


def test_all_parts_of_a_model_count_and_a_missing_one_is_a_problem(tmp_path: Path) -> None:
    first, second = (tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2))
    first.write_bytes(models.chat().read_bytes())
    files = GgufFiles()
    half = files.file(str(first))
    assert half is not None
    assert half.problem == f"{second.name} is missing beside it"
    second.write_bytes(b"x" * 1000)
    whole = files.file(str(first))
    assert whole is not None
    assert (whole.problem, whole.size) == (None, first.stat().st_size + 1000)


def test_a_download_is_found_in_the_cache_by_its_variant(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--unsloth--Qwen3-GGUF"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    target = folder / "snapshots" / "abc" / "Qwen3-Q4_K_M.gguf"
    os.link(models.chat(), target)
    (target.parent / "mmproj-Q4_K_M.gguf").touch()
    files = GgufFiles(caches=[tmp_path / "absent", tmp_path / "hub"])
    found = files.file("unsloth/Qwen3-GGUF:Q4_K_M")
    assert found is not None
    assert found.path == str(target)
    assert files.file("unsloth/Qwen3-GGUF:Qwen3-Q4_K_M.gguf") == found
    assert files.file("unsloth/Qwen3-GGUF:Q8_0") is None


def test_a_variant_that_fits_several_files_names_none() -> None:
    both = ["m-Q4_K_M.gguf", "m-Q4_K_S.gguf"]
    assert choose("Q4_K", both) is None
    assert choose("Q4_K_S", both) == "m-Q4_K_S.gguf"
    shards = [f"Q8_0/{name}" for name in parts("m-00001-of-00003.gguf")]
    assert choose("Q8_0", shards) == "Q8_0/m-00001-of-00003.gguf"
    assert repository("owner/name:v") == ("models--owner--name", "v")
    assert repository("/a/b:c") is None


# -- the service


@dataclass
class Known:
    """All ports of Sources with facts of the test's; `asked` counts questions to lemond."""

    found: dict[str, ModelFile] = field(default_factory=dict)
    memory: HostMemory = field(default_factory=HostMemory)
    processes: dict[int, ProcessMemory] = field(default_factory=dict)
    helps: dict[str, frozenset[str]] = field(default_factory=dict)
    used: dict[tuple[str, str], int] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    installed: str = "/usr/bin/llama-server"

    def file(self, checkpoint: str) -> ModelFile | None:
        return self.found.get(checkpoint)

    def host(self) -> HostMemory:
        return self.memory

    def process(self, pid: int) -> ProcessMemory | None:
        return self.processes.get(pid)

    def options(self, program: str) -> frozenset[str] | None:
        return self.helps.get(program)

    def get(self, model: str, options: str) -> int | None:
        return self.used.get((model, options))

    def put(self, model: str, options: str, size: int) -> None:
        self.used[model, options] = size

    def recipes(self) -> dict[str, Any]:
        self.asked += 1
        if not self.told:
            raise errors.error("lemonade.unavailable", "busy")
        return self.told


class Bench:
    """A preflight over a fake lemond and known facts."""

    def __init__(self, *backends: str, **known: Any) -> None:
        self.lemond = FakeLemond(HandClock(), [{"id": one, "checkpoint": f"/{one}.gguf"} for one in ("m", "n")])
        self.lemond.backends = frozenset(backends)
        self.known = Known(found={f"/{one}.gguf": replace(SOUND, path=f"/{one}.gguf") for one in ("m", "n")}, **known)
        self.catalogue = Catalogue(self.lemond, HandClock())
        self.catalogue.models()
        sources = Sources(self.known, self.known, self.known, self.known, self.known)
        self.preflight = Preflight(self.catalogue, sources)

    def code(self, *args: Any, **more: Any) -> str | None:
        try:
            self.preflight.check(*args, **more)
        except Hal0Error as problem:
            return problem.code
        return None


def test_the_real_adapters_are_what_the_service_asks_for() -> None:
    files: ModelFiles = GgufFiles()
    host: MemorySource = MemoryFiles()
    llama: LlamaOptions = LlamaHelp()
    used: MemoryUse = MemoryUseTable(Path("/nowhere"))
    lemond: Recipes = LemonadeLibrary("http://127.0.0.1:1")
    assert Sources(files, host, llama, used, lemond)


def test_a_preflight_that_knows_nothing_refuses_only_what_lemonade_says() -> None:
    bench = Bench()
    plain = Preflight(bench.catalogue)
    bench.lemond.rows["gone"] = {"id": "gone", "downloaded": False}
    assert plain.check("m", slot(llamacpp_args="--novel", ctx_size=1 << 30), seen(5), []).id == "m"
    for name, code in (("gone", "model.not_downloaded"), ("nobody", "model.unknown")):
        with pytest.raises(Hal0Error) as refused:
            plain.check(name, None, seen(5), [])
        assert refused.value.code == code


def test_a_model_in_quarantine_is_refused_until_it_is_forgiven() -> None:
    bench = Bench("system")
    quarantines = Quarantines(MemoryStates(), HandClock())
    preflight = Preflight(bench.catalogue, quarantines=quarantines)
    preflight.blame(M, slot(), "lemonade.unavailable", "away")
    assert preflight.check("m", slot(), seen(5), []).id == "m"
    preflight.blame(M, slot(), "model.load_failed", "no such tensor")
    with pytest.raises(Hal0Error, match="no such tensor") as refused:
        preflight.check("m", slot(), seen(5), [])
    assert refused.value.code == "model.quarantined"
    preflight.forgive("m")
    assert preflight.check("m", slot(), seen(5), []).id == "m"


def test_memory_that_the_leaving_give_back_counts() -> None:
    bench = Bench("system", memory=HostMemory(available=2 * GIB))
    load = slot(ctx_size=8192, device="cpu")
    leaver = resident("n", 7, device="cpu")
    assert bench.code("m", load, seen(5), []) == "memory.insufficient"
    bench.known.processes[7] = ProcessMemory(GIB, GIB // 4)
    assert bench.code("m", load, seen(5), [leaver]) == "memory.insufficient"
    bench.known.processes[7] = ProcessMemory(GIB, GIB)
    assert bench.code("m", load, seen(5), [leaver]) is None
    told = bench.preflight.estimate("m", load, seen(5), [leaver])["memory"]
    assert told == {"needs": 2 * GIB + MARGIN, "free": 2 * GIB, "would_free": GIB, "learned": False}


def test_a_leaver_that_cannot_be_measured_gives_back_what_it_was_expected_to_need() -> None:
    bench = Bench("system")
    told = bench.preflight.estimate("m", slot(), seen(5), [resident("n", 7, device="gpu", ctx_size=8192)])
    assert told["memory"]["would_free"] == 2 * GIB + MARGIN
    stranger = bench.preflight.estimate("m", slot(), seen(5), [resident("x", 8, device="cpu")])
    assert stranger["memory"]["would_free"] is None
    unknown = bench.preflight.estimate("nobody", None, seen(5), [])
    assert (unknown["ctx_size"], unknown["memory"]["needs"]) == (None, None)


def test_a_measured_load_replaces_the_estimate_for_equal_options_and_the_same_file() -> None:
    bench = Bench("system", processes={7: ProcessMemory(3 * GIB, GIB), 8: ProcessMemory(9 * GIB, GIB)})
    load = slot(ctx_size=8192)
    bench.preflight.learn(M, load, resident("m", 8, device="gpu"))
    bench.preflight.learn(M, load, resident("m", 9, device="cpu"))
    assert bench.known.used == {}, "neither can be measured"

    def needs(one: Any) -> tuple[int, bool]:
        told = bench.preflight.estimate("m", one, seen(5), [])["memory"]
        return told["needs"], told["learned"]

    model = bench.catalogue.find("m")
    assert model is not None
    bench.preflight.learn(model, load, resident("m", 7, device="cpu"))
    assert needs(load) == (3 * GIB, True)
    assert needs(slot(ctx_size=4096))[1] is False
    bench.known.found["/m.gguf"] = replace(SOUND, size=GIB + 1)
    assert needs(load)[1] is False


@pytest.mark.parametrize(
    ("gib", "load", "expected"),
    [
        (64, slot(device="cpu"), 131072),
        (8, slot(device="cpu"), 32768),
        (8, slot(device="cpu", max_in_flight=2), 32768),
        (2.1, slot(device="cpu"), 4096),
        (64, slot(device="cpu", max_in_flight=2), 262144),
        (8, slot(device="cpu", ctx_size=1024), 1024),
        (64, None, 131072),
        (64, slot(device="gpu-vulkan"), None),
    ],
    ids=["all", "a quarter", "shared", "the least", "each its own", "stated", "no slot", "memory not known"],
)
def test_a_load_that_states_no_context_asks_for_the_most_that_fits(
    gib: float, load: SlotConfig | None, expected: int | None
) -> None:
    bench = Bench("system", memory=HostMemory(available=int(gib * GIB)))
    model = bench.preflight.check("m", load, seen(5), [])
    assert bench.preflight.estimate("m", load, seen(5), [])["ctx_size"] == expected
    assert load_request(model, load, ["system"]).get("ctx_size") == expected


def test_a_context_is_left_to_lemond_where_the_model_says_too_little() -> None:
    bench = Bench("system")
    for header in (None, replace(LLAMA, block_count=None), replace(LLAMA, context_length=None)):
        bench.known.found["/m.gguf"] = replace(SOUND, header=header)
        assert bench.preflight.check("m", slot(device="cpu"), seen(5), []).ctx_size is None


def test_a_context_that_does_not_fit_even_at_its_least_is_refused() -> None:
    bench = Bench("system", memory=HostMemory(available=GIB))
    with pytest.raises(Hal0Error) as refused:
        bench.preflight.check("m", slot(device="cpu"), seen(5), [])
    assert (refused.value.code, refused.value.details["needs"]) == ("memory.insufficient", 2 * GIB)


def test_what_one_context_was_measured_to_use_says_nothing_of_another() -> None:
    bench = Bench("system", memory=HostMemory(available=64 * GIB), processes={7: ProcessMemory(9 * GIB, GIB)})
    model = bench.preflight.check("m", slot(device="cpu"), seen(5), [])
    bench.preflight.learn(model, slot(device="cpu"), resident("m", 7, device="cpu"))
    assert bench.preflight.estimate("m", slot(device="cpu"), seen(5), [])["memory"]["learned"] is True
    bench.known.memory = HostMemory(available=8 * GIB)
    assert bench.preflight.estimate("m", slot(device="cpu"), seen(5), [])["memory"]["learned"] is False


def test_lemond_is_asked_for_backends_only_when_the_known_ones_do_not_serve() -> None:
    bench = Bench("system")
    assert bench.code("m", slot(device="gpu-vulkan"), seen(5), []) is None
    assert bench.code("m", slot(), seen(5), []) is None
    assert bench.known.asked == 0
    bench = Bench("cpu", told=recipes())
    assert bench.code("m", slot(device="gpu-vulkan"), seen(5), []) == "backend.not_installed"
    assert bench.known.asked == 1


def test_a_backend_that_was_installed_since_is_used_at_once() -> None:
    bench = Bench(told=recipes())
    assert bench.code("m", slot(device="cpu"), seen(5), []) is None
    bench.lemond.backends = frozenset({"cpu"})
    assert bench.catalogue.installed_backends("llamacpp") == {"cpu"}


def test_a_lemond_that_does_not_tell_its_backends_refuses_nothing() -> None:
    bench = Bench("cpu")
    assert bench.code("m", slot(device="gpu-rocm"), seen(5), []) is None
    assert bench.known.asked == 1


def test_flags_are_held_against_the_server_that_will_run() -> None:
    assert KNOWN is not None
    load = slot(llamacpp_args="--novel", device="gpu-vulkan")
    bench = Bench("vulkan", "system", helps={"/opt/llama-server": KNOWN, "/usr/bin/llama-server": KNOWN})
    other = resident("n", backend="system", program="/usr/bin/llama-server")
    assert bench.code("m", load, seen(5, other), []) is None, "the vulkan one has not been seen yet"
    same = resident("n", backend="vulkan", program="/opt/llama-server")
    assert bench.code("m", load, seen(5, same), []) == "args.unknown"
    assert bench.code("m", load, seen(6), []) == "args.unknown", "it is remembered"


def test_without_a_resident_the_distributions_server_is_asked() -> None:
    assert KNOWN is not None
    load = slot(llamacpp_args="--novel")
    bench = Bench("system", helps={"/usr/bin/llama-server": KNOWN})
    assert bench.code("m", load, seen(5), []) == "args.unknown"
    assert bench.code("m", load, seen(5, engine="hal0-embedded"), []) is None
    assert Bench("system", "cpu", helps={"/usr/bin/llama-server": KNOWN}).code("m", load, seen(5), []) is None


def test_the_program_and_the_backend_of_a_resident_are_read() -> None:
    row = {
        "model_name": "m", "recipe": "llamacpp", "recipe_options": {"llamacpp_backend": "system"},
        "launch_command": ["/usr/bin/python3", "-m", "a.module", "-m", "/m.gguf", "--port", "1"],
    }  # fmt: skip
    without = {**row, "model_name": "n", "launch_command": ["x", "-m", "y"]}
    told = read_health(at(5), {"all_models_loaded": [row, without]})
    assert [(one.backend, one.program) for one in told.residents] == [
        ("system", "/usr/bin/python3 -m a.module"), ("system", ""),
    ]  # fmt: skip


# -- in the control worker


def test_a_swap_counts_with_the_memory_of_the_model_it_replaces() -> None:
    house = House(slot("primary", "m"))
    house.lemond.put("m", device="cpu")
    seen_leaving: list[list[str]] = []

    class Listening(Preflight):
        def check(self, name: str, slot: Any, seen: Any, leaving: Any) -> Model:
            seen_leaving.append([one.model for one in leaving])
            return super().check(name, slot, seen, leaving)

    house.acts._preflight = Listening(house.catalogue)
    with house.running():
        job = house.control.swap(_want(house), "n", "a test", keep=lambda: None)
        assert job.wait(20)
    assert seen_leaving == [["m"], []]
    assert house.lemond.calls == [("unload", "m"), ("load", "n")]


def test_a_refused_swap_unloads_nothing() -> None:
    house = House(slot("primary", "m"))
    house.lemond.put("m")
    with house.running(), pytest.raises(Hal0Error, match="does not know a model 'nobody'"):
        house.control.swap(_want(house), "nobody", "a test", keep=lambda: None).wait(20)
    assert house.lemond.calls == []


def test_victims_are_known_to_the_preflight_before_anybody_is_unloaded() -> None:
    house = House(slot("primary", "m"))
    house.lemond.capacity = {"llm": 1}
    house.lemond.put("n", device="cpu")
    house.observer.step()
    leaving = house.acts._leaving("m", house.observer.snapshot.residency, None)
    assert [one.model for one in leaving] == ["n"]
    house.lemond.put("n", device="cpu", pinned=True)
    house.observer.step()
    assert house.acts._leaving("m", house.observer.snapshot.residency, None) == []


def _want(house: House) -> Any:
    return Want("m", house.observer.snapshot.configs[0] if house.observer.snapshot.configs else slot("primary", "m"))
