"""Imports point one way, heavy packages load only where they are used, and the command line answers at once."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "curate"

BASE = {"errors", "records", "content", "names", "strict"}

RATERS = {"raters", "batch_raters", "rater_settings", "rater_loading"}

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "strict": set(),
    "names": set(),
    "records": set(),
    "progress": set(),
    "version": set(),
    "files": {"errors"},
    "scratch": {"files"},
    "database": {"errors", "files"},
    "ahead": set(),
    "buckets": set(),
    "frames": {"strict"},
    "standings": set(),
    "content": {"errors"},
    "cards": BASE | {"frames"},
    "weights": {"errors", "cards"},
    "fixed_text": {"errors", "cards", "strict", "weights"},
    "serving": set(),
    "asks": {"records"},
    "raters": {"records", "frames"},
    "batch_raters": {"ahead", "buckets", "halving", "raters"},
    "rater_settings": {"records", "serving"},
    "rater_loading": {"errors", "batch_raters", "cards", "rater_settings", "raters"},
    "control_tokens": set(),
    "suspicion": {"control_tokens"},
    "halving": {"records"},
    "rubrics": BASE | {"asks", "cards", "control_tokens", "fixed_text", "raters", "suspicion"},
    "client": BASE | {"asks", "files", "serving"},
    "judges": BASE
    | {"asks", "cards", "client", "files", "fixed_text", "raters", "rater_settings", "rubrics", "scorers", "serving"}
    | {"shards", "store"},
    "maps": {"errors", "records", "files", "rubrics", "store"},
    "shards": BASE | {"files"},
    "store": BASE | {"asks", "database", "files", "standings"},
    "scorers": BASE
    | RATERS
    | {"ahead", "asks", "cards", "control_tokens", "files", "fixed_text", "halving", "shards", "suspicion", "weights"},
    "rating": BASE | RATERS | {"cards", "frames", "progress", "shards", "standings", "store", "scratch"},
    "select": {"ahead", "database", "errors", "records", "files", "scratch", "standings"},
    "exporting": BASE | {"database", "files", "version", "select", "shards"},
    "checking": BASE | {"files", "exporting", "shards"},
    "showing": {"errors", "names", "store"},
    "bridge": {"records", "exporting", "shards", "store"},
    "reports": {"records", "checking"},
    "outputs": {"errors", "files", "records", "scratch", "exporting"},
    "selecting": BASE | {"cards", "outputs", "scratch"} | {"reports", "store", "bridge", "select", "exporting"},
    "api": BASE
    | {"progress", "files", "scratch", "cards", "rater_settings", "scorers", "serving", "store", "rating", "select"}
    | {"reports", "outputs", "selecting", "checking", "showing", "rubrics"},
    "demo": {"errors", "records", "files", "progress", "api", "shards", "rating", "reports", "showing"},
    "cli": {
        "errors",
        "records",
        "files",
        "names",
        "version",
        "cards",
        "progress",
        "api",
        "scorers",
        "serving",
        "rating",
        "checking",
        "demo",
        "showing",
        "reports",
    },
}
"""What each part of curate may import of curate. The public verbs, the entry points and `testing` may import all of it."""

FREE = {"__init__", "__main__", "testing"}

TORCH = {"torch", "torchvision", "transformers", "open_clip", "timm"}


def part_of(path: Path) -> str:
    """The part that a module belongs to: `select` for curate/select/rank.py, `cards` for curate/cards.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, by full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            names.update(f"{node.module}.{alias.name}" if node.module == "curate" else node.module for alias in node.names)
    return names


MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    if part in FREE:
        return
    assert part in ALLOWED, f"curate/{part} is new: say in ALLOWED what it may import"
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("curate.")} - {part}
    assert parts <= ALLOWED[part], f"{part} must not import {', '.join(sorted(parts - ALLOWED[part]))}"


def needed(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that a module's own text rests on, those for types too; not those in functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from needed(node)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_no_imports_in_a_circle() -> None:
    modules = {module_name(path): path for path in MODULES}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        nodes = list(needed(ast.parse(path.read_text(encoding="utf-8"))))
        plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        whole = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        parts = {f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        # `from package import module` needs the module, and the package only where it takes more than modules from it.
        packages = {part.rpartition(".")[0] for part in parts & modules.keys()} - {
            part.rpartition(".")[0] for part in parts - modules.keys()
        }
        graph[module] = (plain | parts | (whole - packages)) & modules.keys()
    assert len(graph) == len(MODULES)
    assert sum(map(len, graph.values())) > len(MODULES), "the imports were found"
    list(TopologicalSorter(graph).static_order())  # a CycleError names the modules of a circle


def test_only_scorers_import_torch() -> None:
    guilty = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if part_of(path) != "scorers" and {name.split(".")[0] for name in imported(path)} & TORCH
    }
    assert guilty == set()


def run_python(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONWARNINGS": "default"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.parametrize("start", ["import curate", "import curate.cli.app", "import curate.errors, curate.records"])
def test_nothing_heavy_is_imported_at_the_start(start: str) -> None:
    heavy = {"torch", "duckdb", "pyarrow", "numpy", "PIL", "transformers", "yaml", "webdataset", "fsspec"}
    loaded = run_python("-c", f"{start}; import sys; print(*sys.modules)").split()
    assert heavy.isdisjoint(loaded)


def test_help_answers_at_once() -> None:
    """In seconds of the processor, which other work on the machine does not change as it does the clock's."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "rate" in run_python("-m", "curate", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seconds()  # compiles what has changed
    assert min(seconds() for _ in range(3)) < 0.5


def test_the_verbs_are_listed_before_they_are_loaded() -> None:
    listed = run_python("-c", "import curate, sys; print(*dir(curate)); assert 'curate.api' not in sys.modules").split()
    assert {"rate", "pair", "export", "content", "__version__"} <= set(listed)
