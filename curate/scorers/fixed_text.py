"""Texts of others that a rater was trained with, fetched by what they are: their length and SHA-256.

The file under a role of `weights` is the text itself, or the Python file of the original repository that holds it as a string
somewhere, named or not; that source is parsed and never run. No other text gets through, whatever lies at the place.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from curate.cards import CardFile
from curate.errors import MissingExtra, WeightsError
from curate.scorers.arguments import Arguments
from curate.scorers.weights import weights_file


class FixedText(Arguments):
    """One text of somebody else's."""

    role: str = "template"
    """The role under `weights` whose file holds it."""
    length: int = Field(ge=1)
    """Characters."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of its UTF-8."""
    origin: str
    """Where it is to be found, for people."""

    def is_it(self, text: str) -> bool:
        """Whether this is the text that is meant."""
        return len(text) == self.length and hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == self.sha256


def load_text(file: CardFile, wanted: FixedText, *, offline: bool) -> str:
    """The text; raises `WeightsError` where its file is missing or does not hold it."""
    help_ = (
        f"the text of {wanted.length} characters with the SHA-256 {wanted.sha256[:16]}… is not shipped with curate: get it from "
        f"{wanted.origin}, copy the card, and set weights.{wanted.role}.path to where you have it"
    )
    try:
        path = weights_file(file, wanted.role, offline=offline)
        source = path.read_bytes().decode("utf-8")
    except (WeightsError, MissingExtra) as problem:
        raise WeightsError(f"{problem}; {help_}") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise WeightsError(f"{file.where}, field 'weights.{wanted.role}': cannot read it ({problem}); {help_}") from problem
    for text in _texts(source, path):
        if wanted.is_it(text):
            return text
    raise WeightsError(f"{file.where}: {path} does not hold the text that is meant; {help_}")


def _texts(source: str, path: Path) -> Iterator[str]:
    """What a file may be holding: all of it, all but the line end that an editor adds, or a string of a Python source."""
    yield source
    yield source.removesuffix("\n")
    if path.suffix == ".py":
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return
        yield from (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
