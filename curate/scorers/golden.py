"""Numbers of the originals, as data: what a rater has to reproduce, how closely, and who says so.

A card that names a file under `parity` has it in `tests/golden/`; it travels inside the wheel, so that `curate raters parity`
runs it for a user. `schemas/golden.schema.json` is this model, for editors.

All expected numbers are the network's own, as the original gives them: in its direction, before a card flips what is
smaller-is-better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curate.cards import CardFile
from curate.content import complaint, content
from curate.errors import CardError

Expected = float | Mapping[str, float] | tuple[float, ...]
"""Of the card's main dimension; or of several, by name; or of all, in the card's order."""

Tolerance = Annotated[float, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Medium(_Strict):
    """A picture or video, named by what it is: the file itself is no part of curate."""

    picture: str
    """Its file name; inside `package`, its path."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{16,64}$")
    """Of the file, the first 16 digits or more. Without it and the next the file is known by its name alone."""
    pixels_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the decoded RGB pixels in 8 bits, row by row."""
    url: str | None = None
    """Where it is to be had."""
    package: str | None = None
    """Installed Python package that carries it."""


class Inputs(Medium):
    """What a rater is given in a case: the response, its prompt, and its conditions."""

    prompt: str | None = None
    conditions: Mapping[str, Medium] = Field(default_factory=dict)
    """By role."""


class Case(_Strict):
    """A number of the original for some inputs."""

    inputs: Annotated[Inputs | Mapping[str, Any] | str, Field(union_mode="left_to_right")]
    """Words, in one text or field by field, where the inputs are published so: the number is kept, and cannot be tried."""
    expected: Expected
    source: str
    """Where it is published; of a measured one, what measured it."""
    tolerance: Tolerance | None = None
    """Where it differs from the file's: a published number has as many digits as it has."""


class Probe(_Strict):
    """What a head makes of an embedding that anybody can write down."""

    embedding: Literal["zero", "constant", "first"]
    """All zero; all 1/sqrt(width); one and then zeros."""
    expected: float


class Head(BaseModel):
    """What the network on top of an encoder makes of such embeddings; further fields are facts of its weights."""

    model_config = ConfigDict(extra="allow", frozen=True)

    about: str
    probes: Annotated[tuple[Probe, ...], Field(min_length=1)]


class Step(BaseModel):
    """What the last step of a computation makes of the numbers before it; further fields are these numbers."""

    model_config = ConfigDict(extra="allow", frozen=True)

    expected: Expected


class Golden(_Strict):
    """The file of one card."""

    card: str
    original: str | None
    """Repository and file of the computation that is reproduced; null where it is our own."""
    formula: str
    tolerance: Mapping[str, Tolerance] = Field(min_length=1)
    """Largest difference from the original's numbers, by how they are computed: `fp32_cpu`, where they are a rater's."""
    template: Mapping[str, Any] | None = None
    """The upstream text that inputs are put into: its file, length and SHA-256."""
    published: tuple[Case, ...] = ()
    """Numbers that the authors give."""
    measured: tuple[Case, ...] = ()
    """Numbers that the original gave when it was run for this file."""
    head: Head | tuple[Step, ...] = ()
    """Numbers that need no picture."""
    unverified: str | None = None
    """What is not known to be equal, and why."""

    @property
    def within(self) -> float:
        """The tolerance that a rater is held to: in float32 on the CPU, or the one that is told first."""
        return self.tolerance.get("fp32_cpu", next(iter(self.tolerance.values())))


def load_golden(file: CardFile) -> Golden | None:
    """The numbers of a card's original; None where the card names none.

    For a card of the user's own they lie beside it, or are those of the shipped card that it is a copy of. Raises `CardError`
    for a file that is not there, does not hold together, or is about another shipped card.
    """
    name = file.card.parity
    if name is None:
        return None
    own = Path(file.where).parent / name
    place = own if not file.shipped and own.is_file() else content("golden").joinpath(name)
    try:
        if Path(name).name != name:
            raise ValueError("it is the name of a file, without a folder")
        golden = Golden.model_validate(json.loads(place.read_text(encoding="utf-8")))
    except ValidationError as problem:
        raise CardError(complaint(problem, Golden, where=name)) from problem
    except (OSError, ValueError) as problem:
        raise CardError(f"{file.where}, field 'parity': cannot read {name}: {problem}") from problem
    if file.shipped and golden.card != Path(file.where).stem:  # whatever the card is called in this run
        raise CardError(f"{file.where}, field 'parity': {name} is about the card '{golden.card}'")
    return golden
