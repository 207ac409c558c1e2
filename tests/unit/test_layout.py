"""Where code may be, what it may import and what it may not say: read from the syntax tree of every module."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "hal0app"

# Path (a pattern below hal0app; the first that fits counts) -> the parts of hal0app it may import.
MAY_IMPORT = {
    "errors.py": (),
    "__main__.py": ("cli.main",),
    "gunicorn_conf.py": ("adapters", "core", "errors"),
    "wiring*.py": ("core", "errors", "adapters", "services", "api", "web"),
    "core/*": ("core", "errors"),
    "adapters/*": ("adapters", "core", "errors"),
    "services/*": ("services", "core", "errors"),
    "api/*": ("api", "services", "core", "errors"),
    "web/*": ("web", "services", "core", "errors"),
    "embedded/*": ("embedded", "core", "errors"),
    "trial/*": ("trial", "adapters", "core", "errors"),
    "cli/run.py": ("cli", "trial"),
    "cli/embedded.py": ("cli", "embedded"),
    "cli/serve.py": ("cli", "wiring"),
    "cli/drift.py": ("cli", "wiring*", "adapters", "core", "errors"),
    "cli/config*.py": ("cli", "wiring*", "adapters", "core", "errors"),
    "cli/doctor*.py": ("cli", "wiring*", "adapters", "core", "errors"),
    "cli/preflight.py": ("cli", "adapters", "core"),
    "cli/*": ("cli", "core", "errors"),
}
GEVENT_MAY_BE_IN = (
    "gunicorn_conf.py",
    "wiring*.py",
    "api/relay*.py",
    "api/client_socket*.py",
    "api/worker.py",
    "web/hub*.py",
)
CORE_LIBRARIES = {"msgspec"}
# The standard library without the outer world: no files, sockets, clocks, threads, processes, logs or chance.
CORE_FORBIDS = {
    "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "sched", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
VAGUE_NAMES = ("utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "misc")
ARCHAEOLOGY = re.compile(
    r"(?<!\w)#\d+\b|\bissue \d+|\bpreviously\b|\bno longer\b|\bused to be\b|\bphase \d+|\bPR[- ]\d+"
    r"|\bADR[- ]\d+|\bTODO\b|\bFIXME\b|\bXXX\b|\blegacy\b|\bdeprecated\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Import:
    """One imported module, by its full dotted name, with its line."""

    module: str
    line: int


@dataclass(frozen=True)
class Module:
    """A source file of the package."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its path below hal0app, with forward slashes."""
        return self.path.relative_to(PACKAGE).as_posix()

    def imports(self) -> Iterator[Import]:
        """Every import in it, at the top, in functions and for types; `from hal0app import x` counts as hal0app.x."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: relative import"
                yield from (Import(f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def modules() -> list[Module]:
    return [Module(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


MODULES = modules()


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def allowed_parts(module: Module) -> tuple[str, ...]:
    for pattern, parts in MAY_IMPORT.items():
        if fnmatch(module.name, pattern):
            return parts
    raise AssertionError(f"{module.name}: no rule for it in MAY_IMPORT")


def is_part(imported: str, part: str) -> bool:
    """Whether `imported` (without `hal0app.`) is `part` or inside it."""
    words = part.split(".")
    return fnmatch(".".join(imported.split(".")[: len(words)]), part)


def complaints(found: Iterator[str]) -> None:
    said = list(found)
    assert not said, "\n" + "\n".join(said)


def test_imports_point_inwards() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            if module.path.name == "__init__.py":
                continue
            parts = allowed_parts(module)
            for imported in module.imports():
                package, _, inner = imported.module.partition(".")
                if package == "hal0app" and not any(is_part(inner, part) for part in parts):
                    yield f"{module.name}:{imported.line}: {imported.module} (may import: {', '.join(parts)})"

    complaints(found())


def test_only_the_composition_root_knows_adapters_and_services() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            parts = {imported.module.split(".")[1] for imported in module.imports() if "hal0app." in imported.module}
            if {"adapters", "services"} <= parts and not fnmatch(module.name, "wiring*.py"):
                yield f"{module.name}: imports adapters and services"

    complaints(found())


def test_the_core_knows_nothing_of_the_outer_world() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            if not module.name.startswith("core/"):
                continue
            for imported in module.imports():
                top = imported.module.split(".")[0]
                known = top in sys.stdlib_module_names or top in CORE_LIBRARIES | {"hal0app", "__future__"}
                impure = any(is_part(imported.module, forbidden) for forbidden in CORE_FORBIDS)
                if impure or not known:
                    yield f"{module.name}:{imported.line}: {imported.module}"

    complaints(found())


def calls(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_the_core_opens_no_file_and_reads_no_clock() -> None:
    forbidden = re.compile(r"^(open|print|input)$|\.(now|utcnow|today)$")
    complaints(
        f"{module.name}:{line}: {called}()"
        for module in MODULES
        if module.name.startswith("core/")
        for called, line in calls(module)
        if forbidden.search(called)
    )


def test_gevent_stays_at_the_edge() -> None:
    complaints(
        f"{module.name}:{imported.line}: {imported.module}"
        for module in MODULES
        if not fits(module.name, GEVENT_MAY_BE_IN)
        for imported in module.imports()
        if imported.module.split(".")[0] == "gevent"
    )


def test_nothing_of_ours_patches_the_standard_library() -> None:
    complaints(
        f"{module.name}:{line}: {called}()"
        for module in MODULES
        for called, line in calls(module)
        if called.split(".")[-1].startswith("patch_")
    )


def test_package_inits_are_empty() -> None:
    """gunicorn imports the package before its worker patches; an import there would come too early."""
    complaints(
        f"{module.name}: {ast.unparse(node)[:60]}"
        for module in MODULES
        if module.path.name == "__init__.py"
        for node in module.tree.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    )


def test_every_module_says_what_it_is() -> None:
    complaints(
        f"{module.name}: no docstring"
        for module in MODULES
        if module.path.name != "__init__.py" and not ast.get_docstring(module.tree)
    )


def test_no_name_is_vague() -> None:
    complaints(
        str(path.relative_to(REPOSITORY))
        for folder in (PACKAGE, REPOSITORY / "tests")
        for path in sorted(folder.rglob("*"))
        if (path.is_dir() or path.suffix == ".py") and path.stem in VAGUE_NAMES
    )


def test_every_package_is_a_package() -> None:
    complaints(
        f"{folder.relative_to(REPOSITORY)}: no __init__.py"
        for folder in {module.path.parent for module in MODULES}
        if not (folder / "__init__.py").exists()
    )


def prose(module: Module) -> Iterator[tuple[str, int]]:
    """Comments and docstrings with their lines; other strings are data."""
    with tokenize.open(module.path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.COMMENT:
                yield token.string, token.start[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or "", getattr(node, "lineno", 1)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_prose_tells_no_history(module: Module) -> None:
    """History is git, CHANGELOG and docs/adr; in code it rots into falsehood."""
    complaints(
        f"{module.name}:{line}: {match.group()}"
        for text, line in prose(module)
        if (match := ARCHAEOLOGY.search(text)) is not None
    )
