"""Texts of others that a rater was trained with, fetched by what they are: their length and SHA-256.

The file under a role of `weights` is the text itself, or the Python file of the original repository that holds it somewhere as a
string, named or not, formatted or put together with `+`; that source is parsed and never run. Where a value goes in, the text has
its expression as the source writes it, such as `{prompt}`. No other text gets through, whatever lies at the place.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from curate.cards import CardFile
from curate.errors import MissingExtra, MissingWeights, WeightsError
from curate.strict import Strict
from curate.weights import weights_file

SHA256 = r"^[0-9a-f]{64}$"


class FixedText(Strict):
    """One text of somebody else's, as a card's `args` name it."""

    role: str = "template"
    """The role under `weights` whose file holds it."""
    length: int = Field(ge=1)
    """Characters."""
    sha256: str = Field(pattern=SHA256)
    """Of its UTF-8."""
    origin: str
    """Where it is to be found, for people."""

    def is_it(self, text: str) -> bool:
        """Whether this is the text that is meant."""
        return len(text) == self.length and hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == self.sha256


def load_text(file: CardFile, wanted: FixedText, *, offline: bool) -> str:
    """The text; raises `MissingWeights` where its file is missing, `WeightsError` where that does not hold it."""
    help_ = (
        f"the text of {wanted.length} characters with the SHA-256 {wanted.sha256[:16]}… is not shipped with curate: it is in "
        f"{wanted.origin}; save that there, or copy the card and set weights.{wanted.role}.path to where you have it"
    )
    try:
        path = weights_file(file, wanted.role, offline=offline)
        source = path.read_bytes().decode("utf-8")
    except MissingWeights as problem:
        raise MissingWeights(f"{problem}; {help_}") from problem
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
            with warnings.catch_warnings(action="ignore"):  # what its authors should escape is not for our users to read about
                tree = ast.parse(source)
            yield from (text for node in ast.walk(tree) if (text := _said(node)) is not None)
        except (SyntaxError, ValueError, RecursionError):
            return


def _said(node: ast.AST) -> str | None:
    """What a string says, a formatted one with its expressions in braces, or a sum of strings; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return f"{{{ast.unparse(value)}}}"
        case ast.JoinedStr(values=parts):
            said = [_said(part) for part in parts]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            said = [_said(left), _said(right)]
        case _:
            return None
    return None if None in said else "".join(part for part in said if part is not None)
