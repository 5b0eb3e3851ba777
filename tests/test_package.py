"""What people install: the wheel and the source archive hold the code and the content, and nothing else."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).parent.parent
CONTENT = {"annotators": "annotators", "schemas": "schemas", "pipelines": "pipelines", "golden": "tests/golden"}
"""By kind, where the files lie in a checkout."""


def files_of(folder: str) -> set[str]:
    """Files of the checkout below a folder, as paths from the root, without what Python leaves behind."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source archive, built from a copy so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source") / "curate"
    unwanted = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "dist", "demo-output")
    shutil.copytree(ROOT, source, ignore=unwanted)
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(out)], cwd=source, check=True, capture_output=True
    )
    (wheel,) = out.glob("*.whl")
    (archive,) = out.glob("*.tar.gz")
    return wheel, archive


def test_the_wheel_holds_code_and_content(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    info = {name for name in names if ".dist-info/" in name}
    content = {
        f"curate/_content/{kind}{path.removeprefix(folder)}" for kind, folder in CONTENT.items() for path in files_of(folder)
    }
    assert {name.split("/")[2] for name in content} == set(CONTENT), "every kind has files to ship"
    assert names - info == files_of("curate") | content


def test_the_wheel_says_what_it_is(built: tuple[Path, Path]) -> None:
    assert built[0].name == f"curate_preferences-{curate.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(built[0]) as wheel:
        (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "curate = curate.cli:main" in wheel.read(entry_points).decode()
        assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_content_is_found_inside_a_zipped_wheel(built: tuple[Path, Path]) -> None:
    code = "from curate.content import content_files; print(*(f.name for f in content_files('annotators', '', '.yaml')))"
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(built[0])!r}); {code}"]
    found = subprocess.run(command, cwd=built[0].parent, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(found) == sorted(Path(path).name for path in files_of("annotators") if path.endswith(".yaml"))


def test_the_source_archive_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "again")]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (again,) = (tmp_path / "again").glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(built[0]).namelist())


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def spelled(requirement: str) -> str:
    """The name in a requirement or a pin, in the one spelling that packages are compared by."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def test_constraints_are_versions_and_cover_every_requirement() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    pinned = {spelled(line) for line in lines}
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    wanted = {spelled(one) for extra in extras.values() for one in extra} - {"curate-preferences"}
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    assert wanted | {spelled(one) for one in dependencies} <= pinned


def test_the_core_is_light() -> None:
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    assert {spelled(one) for one in dependencies}.isdisjoint({"torch", "transformers", "opencv-python-headless", "onnxruntime"})


def test_every_extra_that_a_card_or_a_message_names_exists() -> None:
    from curate.cards import shipped_cards

    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    told = {file.card.extra for file in shipped_cards().values() if file.card.extra}
    for path in sorted((ROOT / "curate").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "MissingExtra":
                told |= {one.value for one in ast.walk(node.args[1]) if isinstance(one, ast.Constant)}
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]:
        for names in re.findall(r"curate-preferences\[([a-z,]+)\]", document.read_text(encoding="utf-8")):
            told |= set(names.split(","))
    assert {"rewards", "video", "vlm", "demo"} <= told, "they were found"
    assert told <= set(extras)
