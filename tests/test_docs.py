"""The documentation tells of every command and option, and what it says to type can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from curate.cli.app import app

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
GROUP = typer.main.get_command(app)
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
SHARED = {"--quiet", "--json", "--log", "--help"}
"""Options of every command, told once."""


def section(title: str) -> str:
    """The part of the guide below a heading, up to the next one of its level."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/guide.md has no section '## {title}'"
    return found[1]


def long_options(name: str) -> set[str]:
    return {option for parameter in GROUP.commands[name].params for option in parameter.opts if option.startswith("--")}


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
    if "--help" not in arguments:
        GROUP.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    place = ROOT / document
    for target in re.findall(r"\]\(([^)\s]+)\)", place.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert (place.parent / target.split("#")[0]).exists(), f"{document}: {target} leads nowhere"


def test_the_quick_start_is_marked_for_continuous_integration() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- quick start -->\n```sh\n(.*?)```\n<!-- end -->", readme, re.DOTALL)
    assert found is not None
    assert [line.split()[1] for line in found[1].splitlines()] == ["rate", "show", "filter", "rank", "pair", "check"]
