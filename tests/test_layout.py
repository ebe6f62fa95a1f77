"""The shape of the house: import arrows, what the core may not touch, one test module per module, size budgets.

Holds architecture.md "Arrows", style.md "Files and functions" and reliability.md 6.2. When a test here fails, the
design document decides which side moves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "ocpphub"
MODULES = sorted(PACKAGE.rglob("*.py"))
RUST = sorted((ROOT / "rust").rglob("*.rs"))
MAX_LINES = 450
MAX_FUNCTION_LINES = 60

ARROWS: dict[str, set[str]] = {
    "": {"checkout", "errors", "api", "rpc.client"},
    "__main__": {"cli"},
    "cli": {
        *("", "daemon", "rpc.client", "schedule_cli", "sim", "config", "config_check", "config_text", "log", "errors"),
        *("checkout", "sessions_cli", "keys_cli", "trace"),
    },
    "schedule_cli": {"picture", "plot"},
    "plot": {"picture"},
    "picture": set(),
    "trace": set(),
    "daemon": {
        *("", "api", "rpc", "log_file", "metrics_server", "reload", "service", "startup_check", "wiring", "errors"),
    },
    "startup_check": {"store.directory", "errors"},
    "reload": {"config", "log"},
    "service": {"errors"},
    "metrics": {""},
    "metrics_server": {"metrics", "rpc.listen", "errors"},
    "records": {"store", "errors"},
    "sessions_cli": set(),
    "keys_cli": {"core.key_table", "core.keys", "errors"},
    "api": {"wiring", "records", "interface", "clients", "driver", "link", "core", "publications", "config", "errors"},
    "wiring": {
        *(
            "allocator",
            "certificates",
            "driver",
            "core",
            "csms",
            "endpoint",
            "errors",
            "provisioning",
            "store.space",
            "store.sqlite",
            "work",
        ),
        *("known_hosts", "provisioning", "scratch", "transfer", "url_policy"),
        *("archive", "firmware_check", "hooks", "security_log"),
    },
    "allocator": {"driver", "core"},
    "certificates": {"core.x509"},
    "driver": {"lane", "link", "core", "store", "errors", "log"},
    "lane": {"log"},
    "work": {"errors", "log"},
    "abortable": set(),
    "archive": {"abortable", "log", "log_file", "tarball"},
    "batch_thread": set(),
    "firmware_check": {"abortable", "hooks"},
    "hooks": set(),
    "log_file": {"batch_thread", "rotated_file", "log"},
    "tarball": {"abortable"},
    "rotated_file": {"store.directory"},
    "security_log": {"batch_thread", "rotated_file", "store.directory", "log"},
    "link": set(),
    "core": {"core", "errors", "_native"},
    "store": {"store", "errors"},
    "csms": {"connection", "core.security_profile", "endpoint", "resolver", "tls", "log", "errors"},
    "resolver": set(),
    "scratch": {"errors"},
    "url_policy": set(),
    "known_hosts": set(),
    "transfer": {"curl", "known_hosts", "resolver", "scratch", "url_policy"},
    "curl": {"known_hosts", "url_policy"},
    "connection": {"endpoint", "tls"},
    "endpoint": {"errors"},
    "tls": {"errors"},
    "publications": {"core.instant"},
    "clients": {"core.controllers", "core.vendor", "errors"},
    "rpc": {"rpc", "api", "records", "clients", "publications", "config", "errors"},
    "rpc.protocol": {"_native", "errors"},
    "rpc.client": {"errors"},
    "sim": {"sim", "rpc.client", "rpc.connectors", "errors"},
    "config": {"config_read", "errors"},
    "config_read": {"config", "config_check", "config_table", "config_values"},
    "config_check": {"core.configuration", "core.electrical", "endpoint", "provisioning", "errors"},
    "provisioning": {"certificates", "core", "errors"},
    "config_values": {"config_table"},
    "config_text": {"config_table", "config_values"},
    "config_table": set(),
    "checkout": {"_native"},
    "errors": set(),
    "interface": {"errors"},
    "log": set(),
}
"""Module or package -> what of ocpphub it may import at run time; the longest matching name decides."""

LIBRARIES: dict[str, set[str]] = {
    "websockets": {"csms", "connection", "endpoint", "sim"},
    "uvloop": {"daemon"},
    "sqlite3": {"store"},
    "ocpp": {"sim"},
    "pycurl": {"curl"},
    "cryptography": {"certificates", "sim.tls"},
    "matplotlib": {"plot"},
    "prometheus_client": {"metrics"},
}
"""Library -> the only modules that may import it."""

CORE_MAY_NOT_IMPORT = {
    *("asyncio", "socket", "ssl", "time", "threading", "random", "secrets", "sqlite3", "websockets", "uvloop"),
    *("os", "pathlib", "subprocess", "concurrent", "multiprocessing", "select", "selectors", "signal", "uuid"),
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}
ORJSON_NAMES = {"loads", "dumps", "JSONDecodeError", "JSONEncodeError"}

DATA_TABLES = {"rust/action.rs", "rpc/methods.py", "core/messages.py", "core/vocabulary.py", "config_table.py"}
"""Exempt from the line budget (architecture.md)."""

TESTED_ELSEWHERE = {
    "config_table": "tests/test_config_values.py",
    "core.allotment": "tests/core/test_permits.py",
    "core.charging": "tests/scenarios/rows/test_rows_transactions.py",
    "core.controller_commands": "tests/scenarios/rows/test_rows_authorization.py",
    "core.effects": "tests/test_driver.py",
    "core.interface_commands": "tests/core/test_charge_point.py",
    "core.external": "tests/core/test_permits.py",
    "core.collect": "tests/core/test_diagnostics.py",
    "core.install": "tests/core/test_firmware.py",
    "core.maintenance": "tests/core/test_firmware.py",
    "core.update": "tests/core/test_firmware.py",
    "core.servicing": "tests/scenarios/rows/test_rows_maintenance.py",
    "core.instant": "tests/core/test_timers.py",
    "core.member": "tests/core/test_allocation.py",
    "core.parts": "tests/core/test_charge_point.py",
    "core.presenting": "tests/scenarios/rows/test_rows_authorization.py",
    "core.remote_start": "tests/scenarios/rows/test_rows_operations.py",
    "core.reset": "tests/scenarios/rows/test_rows_operations.py",
    "core.sessions": "tests/scenarios/rows/test_rows_transactions.py",
    "core.shares": "tests/core/test_allocation.py",
    "interface": "tests/test_api.py",
    "lane": "tests/test_driver.py",
    "link": "tests/test_driver.py",
    "wiring": "tests/test_api.py",
    "core.certificate_signing": "tests/scenarios/rows/test_rows_security.py",
    "core.extended_trigger": "tests/scenarios/rows/test_rows_security.py",
    "core.root_certificates": "tests/scenarios/rows/test_rows_security.py",
    "core.trust": "tests/scenarios/rows/test_rows_security.py",
    "core.x509": "tests/core/test_credentials.py",
    "rpc.schemas": "tests/rpc/test_discover.py",
    "sim.demo": "tests/e2e/test_demo.py",
    "sim.killing": "tests/e2e/test_demo.py",
    "sim.operating": "tests/e2e/test_demo.py",
    "sim.programs": "tests/e2e/test_demo.py",
    "sim.securing": "tests/e2e/test_demo.py",
}
"""Modules whose behaviour shows in another module's tests: records, tables, and the tour."""

UNSAFE_ALLOWED = {"rust/python.rs", "rust/lib.rs"}
"""``python.rs`` holds PyO3's macros; ``lib.rs`` cannot forbid what ``python.rs`` needs, every other module does."""


class Import(NamedTuple):
    """One import: the module that is imported, and whether only type checkers see it."""

    module: str
    typing_only: bool


def dotted(path: Path) -> str:
    """``core.boot`` for ``python/ocpphub/core/boot.py``; the empty text for the package itself."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(node: ast.AST, typing_only: bool = False) -> Iterator[Import]:
    """Every import below a node, those inside functions too."""
    for child in ast.iter_child_nodes(node):
        inner = typing_only or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, inner) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports hide the arrows"
            yield from (Import(name, inner) for name in _from(child))
        yield from imports(child, inner)


def _from(node: ast.ImportFrom) -> Iterator[str]:
    module = node.module or ""
    for alias in node.names:
        folder = PACKAGE.parent.joinpath(*module.split("."))
        is_module = (folder / alias.name).is_dir() or any(folder.glob(f"{alias.name}.py*"))
        yield f"{module}.{alias.name}" if module.startswith("ocpphub") and is_module else module


def own(module: str) -> str | None:
    """The name below ``ocpphub``, ``None`` for anything else."""
    return module.removeprefix("ocpphub").lstrip(".") if module.split(".")[0] == "ocpphub" else None


def covers(names: set[str], name: str) -> bool:
    """Whether a name or a package above it is among ``names``; the empty name stands for the package alone."""
    return any(name == item or (item and name.startswith(f"{item}.")) for item in names)


def allowed_for(name: str) -> set[str]:
    parts = name.split(".") if name else []
    for length in range(len(parts), 0, -1):
        if (key := ".".join(parts[:length])) in ARROWS:
            return ARROWS[key]
    if not name:
        return ARROWS[""]
    raise AssertionError(f"{name} has no arrows: add it to architecture.md and here")


def trees() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in MODULES:
        yield dotted(path), path, ast.parse(path.read_text(encoding="utf-8"))


def core_trees() -> Iterator[tuple[str, ast.Module]]:
    yield from ((name, tree) for name, _, tree in trees() if name.startswith("core"))


def test_module_imports_only_along_the_arrows() -> None:
    """The import graph is the one of architecture.md."""
    wrong = [
        f"{name or 'ocpphub'} -> {target}"
        for name, _, tree in trees()
        for module, typing_only in imports(tree)
        if (target := own(module)) is not None and not typing_only and not covers(allowed_for(name), target)
    ]
    assert wrong == []


def test_nothing_but_the_command_line_knows_the_simulator() -> None:
    """Not even for types."""
    wrong = [
        f"{name} -> {target}"
        for name, _, tree in trees()
        for module, _ in imports(tree)
        if (target := own(module)) is not None and name.split(".")[0] not in ("cli", "sim", "__main__")
        and target.split(".")[0] in ("cli", "sim", "tests")
    ]  # fmt: skip
    assert wrong == []


def test_library_is_imported_where_it_belongs() -> None:
    """Each engine has one home."""
    wrong = [
        f"{name} -> {module}"
        for name, _, tree in trees()
        for module, _ in imports(tree)
        if (homes := LIBRARIES.get(module.split(".")[0])) is not None and not covers(homes, name)
    ]
    assert wrong == []


def test_core_imports_no_socket_clock_thread_or_loop() -> None:
    """The core is sans-I/O, for types too."""
    wrong = [
        f"{name} -> {module}"
        for name, tree in core_trees()
        for module, _ in imports(tree)
        if module.split(".")[0] in CORE_MAY_NOT_IMPORT
    ]
    assert wrong == []


def test_core_reads_no_clock_and_uses_orjson_for_bytes_only() -> None:
    """Time is an argument."""
    wrong = []
    for name, tree in core_trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if node.value.id in ("datetime", "date", "time") and node.attr in CLOCKS:
                wrong.append(f"{name}:{node.lineno} reads {ast.unparse(node)}")
            if node.value.id == "orjson" and node.attr not in ORJSON_NAMES and not node.attr.startswith("OPT_"):
                wrong.append(f"{name}:{node.lineno} uses {ast.unparse(node)}")
    assert wrong == []


def test_core_knows_the_configuration_as_a_type_only() -> None:
    """Settings are handed in."""
    wrong = [
        f"{name} -> {module}"
        for name, tree in core_trees()
        for module, typing_only in imports(tree)
        if module.startswith("ocpphub.config") and not typing_only
    ]
    assert wrong == []


def test_every_module_has_its_test_module() -> None:
    """One test module per source module, at the mirrored place."""
    missing = []
    for path in MODULES:
        name = dotted(path)
        if path.stem in ("__init__", "__main__"):
            continue
        mirrored = Path("tests", *name.split(".")[:-1], f"test_{path.stem}.py")
        expected = Path(TESTED_ELSEWHERE.get(name, mirrored))
        if not (ROOT / expected).is_file() and path.relative_to(PACKAGE).as_posix() not in DATA_TABLES:
            missing.append(f"{name}: {expected}")
    assert missing == []


def test_every_test_module_mirrors_a_module() -> None:
    """A test module of nothing is a leftover."""
    free = ("e2e", "scenarios", "oracle", "native", "lives", "allocation")
    tools = {
        *("test_layout.py", "test_requirements_matrix.py", "test_reference.py"),
        *("rpc/test_discover.py", "rpc/test_roles.py", "rpc/test_bad_parameters.py"),
    }
    stray = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        relative = path.relative_to(ROOT / "tests")
        source = PACKAGE / relative.with_name(relative.name.removeprefix("test_"))
        if relative.parts[0] not in free and str(relative) not in tools and not source.is_file():
            stray.append(str(relative))
    assert stray == []


@pytest.mark.parametrize("path", [*MODULES, *RUST], ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_one_concept(path: Path) -> None:
    """At most 450 lines, data tables and Rust's test modules aside."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.partition("\n#[cfg(test)]\nmod ")[0].splitlines())
    names = {path.relative_to(ROOT).as_posix(), path.relative_to(PACKAGE).as_posix() if path.suffix == ".py" else ""}
    assert lines <= MAX_LINES or names & DATA_TABLES, f"{lines} lines"


def test_function_fits_on_a_screen() -> None:
    """At most 60 lines, docstring included."""
    long = [f"{path.relative_to(ROOT)}:{line} {name}: {size} lines" for path, line, name, size in functions()]
    assert long == []


def functions() -> Iterator[tuple[Path, int, str, int]]:
    """Functions over the budget in both languages."""
    for _, path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MAX_FUNCTION_LINES:
                    yield path, node.lineno, node.name, size
    for path in RUST:
        if path.relative_to(ROOT).as_posix() not in DATA_TABLES:
            yield from rust_functions(path)


def rust_functions(path: Path) -> Iterator[tuple[Path, int, str, int]]:
    """Rust functions over the budget, by rustfmt's indentation: a body ends where its brace closes the column."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        match = re.match(r"(\s*)(?:pub(?:\([a-z]+\))? )?(?:const |unsafe |async )*fn (\w+)", line)
        if match is None or line.rstrip().endswith(("}", ";")):
            continue
        end = next((i for i in range(number, len(lines)) if lines[i] == f"{match[1]}}}"), number)
        if end - number + 1 > MAX_FUNCTION_LINES:
            yield path, number + 1, match[2], end - number + 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_opens_with_what_it_is(path: Path) -> None:
    """Each file says what it owns."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert "from __future__ import annotations" in text or not ast.parse(text).body[1:], "no future import"


def test_only_the_seam_names_pyo3() -> None:
    """The crate builds and tests without Python."""
    root = ROOT / "rust"
    seam = {path for path in RUST if path.is_relative_to(root / "python")} | {root / "python.rs"}
    naming = {path for path in RUST if re.search(r"\bpyo3\b", path.read_text(encoding="utf-8"))}
    assert naming == seam


def test_every_rust_module_forbids_unsafe_code() -> None:
    """No hand-written unsafe block anywhere."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in RUST}
    lax = [name for name, text in texts.items() if "#![forbid(unsafe_code)]" not in text]
    assert set(lax) <= UNSAFE_ALLOWED
    assert [name for name, text in texts.items() if re.search(r"\bunsafe\s*(\{|fn|impl)", text)] == []


def test_make_has_every_documented_target_with_a_help_line() -> None:
    """The Makefile is the only task file, and lists itself."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    helped = set(re.findall(r"^([a-z-]+):.*## \S", text, re.M))
    assert {"setup", "build", "demo", "test", "check", "bench", "bench-quick", "icount", "docs", "clean"} <= helped
    assert set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.M)).split()) == helped


def test_lock_file_names_no_registry_and_no_machine() -> None:
    """Every dependency is pinned with hashes, and the file says nothing about where it was made."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert [line for line in lines if re.search(r"https?:|file:|\s/|@ ", line)] == []
    assert [line for line in pinned if not re.match(r"[a-z0-9-]+==[0-9][^ ]* (; .* )?\\$", line)] == []
    assert sum("--hash=sha256:" in line for line in lines) > len(pinned)
