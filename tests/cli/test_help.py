"""Help that teaches: every command has an example that parses, every option a sentence."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from curate.cli.app import app

GROUP = typer.main.get_command(app)
COMMANDS = {
    f"{name} {verb}".strip(): leaf
    for name, command in sorted(GROUP.commands.items())
    for verb, leaf in getattr(command, "commands", {"": command}).items()
}
"""By what a person types."""


def test_the_commands_are_the_ones_promised() -> None:
    """A new command is a decision: add it here, to docs/guide.md and to the README where it belongs."""
    raters = ["raters show", "raters convert", "raters parity"]
    assert list(COMMANDS) == ["check", "demo", "export", "filter", "pair", "rank", "rate", *raters, "show"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_says_what_it_is(name: str) -> None:
    for parameter in COMMANDS[name].params:
        text = getattr(parameter, "help", None)
        assert text, f"{name}: {parameter.name} has no help"
        assert text.rstrip(")").endswith((".", "…")), f"{name} {parameter.name}: '{text}' is no sentence"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(name: str) -> None:
    command = COMMANDS[name]
    examples = re.findall(r"\[bold\](curate .+?)\[/bold\]", (command.help or "").partition("Example")[2], re.DOTALL)
    assert examples, f"{name} has no example"
    for example in examples:
        words = shlex.split(example)
        typed = ["curate", *name.removesuffix(" show").split()]  # of a group, `show` may be left out
        assert words[: len(typed)] == typed
        command.make_context(name, words[len(typed) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_quiet_speak_json_and_log(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--quiet", "--json", "--log"} <= options
