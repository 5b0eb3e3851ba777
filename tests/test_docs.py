"""The documentation tells of every command and option, and what it says to type can be typed."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from PIL import Image

import curate
from curate.cli.app import app
from curate.records import RejectReason
from curate.select.judging import Fate
from curate.select.ranking import rank_schema
from curate.select.samples import NOT_A_NUMBER, UNDECIDED, VETOED
from curate.serving import Serving
from curate.shards.layouts import Layout, known_layouts
from curate.testing import write_shard
from curate.testing.server import ScriptedServer

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
GROUP = typer.main.get_command(app)
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]
)
SHARED = {"--quiet", "--json", "--log", "--help"}
"""Options of every command, told once."""


def section(title: str) -> str:
    """The part of the guide below a heading, up to the next one of its level."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/guide.md has no section '## {title}'"
    return found[1]


def long_options(name: str) -> set[str]:
    """Of a command, or of all commands of a group."""
    command = GROUP.commands[name]
    leaves = [command, *getattr(command, "commands", {}).values()]
    parameters = [parameter for leaf in leaves for parameter in leaf.params]
    return {option for one in parameters for option in (*one.opts, *one.secondary_opts) if option.startswith("--")}


@pytest.mark.parametrize("name", sorted(GROUP.commands))
def test_the_guide_tells_of_every_option(name: str) -> None:
    told = set(re.findall(r"--[a-z][a-z-]*", section(f"curate {name}")))
    real = long_options(name)
    assert real - SHARED <= told, "options that the guide leaves out"
    assert told <= real | SHARED, "options that do not exist"


def test_the_guide_tells_of_the_options_that_all_commands_share() -> None:
    told = set(re.findall(r"--[a-z][a-z-]*", section("Every command")))
    assert told >= SHARED | {"--version"}


def commands() -> Iterator[tuple[str, str]]:
    """Every command line in a shell block, with the document it stands in; lines that end in a backslash are joined."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("curate "):
                    yield document, line


@pytest.mark.parametrize(("document", "line"), list(commands()))
def test_commands_in_the_documentation_parse(document: str, line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    assert name in GROUP.commands, f"{document}: there is no command '{name}'"
    if "--help" in arguments:
        return
    command = GROUP.commands[name]
    verbs = getattr(command, "commands", None)
    if verbs is not None:  # of a group, `show` may be left out
        verb, *arguments = arguments if arguments and arguments[0] in verbs else ["show", *arguments]
        command = verbs[verb]
    command.make_context(name, arguments)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    place = ROOT / document
    for target in re.findall(r"\]\(([^)\s]+)\)", place.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = place.parent / path if path else place
        assert there.exists(), f"{document}: {target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{document}: {there.name} has no heading for #{anchor}"


def anchors(document: Path) -> set[str]:
    """What the headings of a document are called in links, by GitHub's rule."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_quick_start_is_marked_for_continuous_integration() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- quick start -->\n```sh\n(.*?)```\n<!-- end -->", readme, re.DOTALL)
    assert found is not None
    assert [line.split()[1] for line in found[1].splitlines()] == ["rate", "show", "filter", "rank", "pair", "check"]


def block(mark: str, kind: str) -> str:
    """The code of the guide below a mark."""
    found = re.search(rf"<!-- {mark} -->\n```{kind}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


def picture(grey: int) -> bytes:
    file = BytesIO()
    Image.new("L", (32, 32), grey).save(file, "PNG")
    return file.getvalue()


def test_every_layout_that_ships_is_in_the_guide() -> None:
    table = section("Layouts").split("For anything else")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(known_layouts())


def test_the_guide_tells_of_every_field_and_word_of_a_layout() -> None:
    text = section("Layouts")
    cells = re.findall(r"^\| (`.*?) \|", text.rsplit("| field | |", 1)[1], re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(Layout.model_fields)
    assert all(f"`<{word}>`" in text for word in ("image", "video", "media", "text", "n", "name"))


def test_the_layout_in_the_guide_does_what_it_says(tmp_path: Path) -> None:
    record = block("own layout: record", "json").encode()
    members = {"out_0.png": picture(40), "out_1.png": picture(90), "json": record}
    shard = write_shard(tmp_path / "shard.tar", [("fox", members)])
    layout = tmp_path / "outputs.yaml"
    layout.write_text(block("own layout", "yaml"))
    curate.rate(str(shard), raters=["signal"], store=tmp_path / "store", layout=str(layout))
    curate.filter(tmp_path / "store", where="prompt = 'a fox in the snow'", format="parquet", out=tmp_path / "kept")
    (file,) = (tmp_path / "kept").glob("*.parquet")
    rows = pq.read_table(file, columns=["generator", "labels"]).to_pylist()
    assert {(row["generator"], json.loads(row["labels"])["votes"]) for row in rows} == {("sdxl", 3.0), ("flux", 7.0)}


def test_the_test_in_the_guide_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fox.png").write_bytes(picture(40))
    names: dict[str, Any] = {}
    exec(block("testing", "python"), names)  # noqa: S102 - the guide's own code
    names["test_that_everything_is_judged"](tmp_path)
    assert curate.show(tmp_path / "store").document["samples"] == 2, "it did rate, with its own assertions on the way"


def test_the_python_in_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUDGE_KEY", "sk-any-0123456789")
    Path("shards").mkdir()
    write_shard(Path("shards/a.tar"), [(f"{number}", {"png": picture(20 * number), "txt": b"a fox"}) for number in range(8)])
    names: dict[str, Any] = {}
    with ScriptedServer() as server:
        exec(block("in python", "python").replace("http://127.0.0.1:8000/v1", server.url), names)  # noqa: S102
    assert names["report"].statuses == {"vqa-yes": {"ok": 8}}
    assert Path("pairs/curate.json").exists()


def test_the_guide_says_of_every_server_option_how_python_has_it() -> None:
    text = section("In Python")
    server = {name for name, parameter in options_of("rate").items() if parameter.rich_help_panel == "Vision-language judges"}
    assert {name for name in server if f"`{name}`" in text or f"{name}`" in text} == server - {"--price"}
    fields = {"key_variable", "key_file", "most_requests", "most_tokens", "canary", "concurrency", "model", "url"}
    assert fields <= {field.name for field in dataclasses.fields(Serving)}


def options_of(name: str) -> dict[str, Any]:
    return {parameter.opts[0]: parameter for parameter in GROUP.commands[name].params if parameter.opts[0].startswith("--")}


def test_the_columns_of_a_ranking_are_in_the_guide() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("curate rank").split("```sh")[0], re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == rank_schema().names


def test_the_reasons_are_in_the_guide() -> None:
    text = section("What the reasons mean")
    reasons = [*(fate.reason for fate in Fate if fate is not Fate.KEPT), *RejectReason, VETOED, UNDECIDED, NOT_A_NUMBER]
    assert all(f"`{reason}`" in text for reason in reasons)


PACKAGES = sorted(path.parent for path in (ROOT / "curate").glob("*/__init__.py"))


@pytest.mark.parametrize("package", [one for one in PACKAGES if len(list(one.glob("*.py"))) > 12], ids=lambda one: one.name)
def test_packages_name_their_modules(package: Path) -> None:
    told = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    modules = {path.stem for path in package.glob("[!_]*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert {name for name in modules if not re.search(rf"\b{name}\b", told)} == set()


def test_the_architecture_names_every_part() -> None:
    told = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    parts = {path.stem for path in (ROOT / "curate").glob("[!_]*.py")} | {package.name for package in PACKAGES}
    assert parts - told == set()
