from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.exporting import export, find_format, format_names
from tests.exporting.world import World, make_world


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One export of each format, which no test changes."""
    folder = tmp_path_factory.mktemp("exports")
    world = make_world(folder / "world")
    for name in format_names():
        export(world.selection(find_format(name).takes), world.source, folder / name, format=name)
    return folder


@pytest.fixture
def dataset(exports: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an export without its manifest: a folder that anything might have made."""

    def copy(name: str) -> Path:
        shutil.copytree(exports / name, tmp_path / name)
        for file in ("curate.json", "media.sha256", "README.md"):
            (tmp_path / name / file).unlink(missing_ok=True)
        return tmp_path / name

    return copy


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "world")
