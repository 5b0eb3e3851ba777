"""Long prompts that reward models were trained with. They belong to their authors and are not shipped here.

A card says where the text is to be found, how long it is, and its SHA-256; a role under `weights` says where it lies on this
machine. That file is either the text itself or the Python file of the original repository, of which the constant is read
without running it. Nothing else than the text that is meant gets through.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable

from pydantic import Field

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.arguments import Arguments
from curate.scorers.weights import weights_file

SLOT = "{text_prompt}"
"""Where the caption goes, in all the texts of these originals."""

NEUTRALISED = "control tokens in the prompt were taken as plain text"


class Template(Arguments):
    """One long text of somebody else's."""

    role: str = "template"
    """The role under `weights` whose file holds it."""
    constant: str
    """Name of the string in the original's Python file."""
    length: int = Field(ge=1)
    """Characters, the slot for the caption as it stands."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of its UTF-8."""
    origin: str
    """Where the file is to be found, for people."""


def load_template(file: CardFile, template: Template, *, offline: bool) -> str:
    """The text, with the slot for the caption in it.

    Raises `WeightsError` where the file is missing, where it does not hold the text, and where the text is another one.
    """
    try:
        path = weights_file(file, template.role, offline=offline)
        source = path.read_bytes().decode("utf-8")
    except WeightsError as problem:
        raise WeightsError(f"{problem}; it is a text that curate does not ship: get it from {template.origin}") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise WeightsError(f"{file.where}, field 'weights.{template.role}': cannot read it: {problem}") from problem
    text = _constant(source, template.constant) if path.suffix == ".py" else source
    if text is None:
        raise WeightsError(f"{file.where}: {path} defines no text '{template.constant}': get it from {template.origin}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    if len(text) != template.length or digest != template.sha256:
        raise WeightsError(
            f"{file.where}: the text in {path} has {len(text)} characters and the SHA-256 {digest}, not {template.length} and "
            f"{template.sha256}: get it from {template.origin}"
        )
    if text.count(SLOT) != 1:
        raise WeightsError(f"{file.where}: the text in {path} has not one place {SLOT} for the caption")
    return text


def fill(template: str, caption: str, control: Iterable[str]) -> tuple[str, bool]:
    """The template with the caption in its place, and whether the caption had to be defused.

    A caption cannot open an image, end a turn or add a reward. Captions that do not try come through as they are.
    """
    plain = defused(caption, control)
    return template.replace(SLOT, plain), plain != caption


def defused(caption: str, control: Iterable[str]) -> str:
    """A caption without control tokens: each one gets a space after its first character."""
    tokens = [token for token in control if len(token) > 1]
    while found := [token for token in tokens if token in caption]:
        for token in found:
            caption = caption.replace(token, f"{token[0]} {token[1:]}")
    return caption


def _constant(source: str, name: str) -> str | None:
    """The string that a Python source assigns to a name at its top level; nothing of it is run."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return None
    for statement in statements:
        if isinstance(statement, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in statement.targets):
            value = statement.value
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return None
