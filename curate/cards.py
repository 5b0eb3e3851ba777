"""Cards: raters, declared. A card says which engine, which weights, and how to read the number.

A card is a YAML file under `annotators/`, or one of your own passed by path; both go through the same door. Its
fingerprint covers what decides the numbers and nothing else, so editing a description loses no rating.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from functools import cache, cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from curate.content import complaint, content_files, parse_yaml
from curate.errors import CardError, nearest
from curate.frames import Frames
from curate.records import View, canonical_json
from curate.strict import Strict

NAME = r"^[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*$"
"""Names of cards; in expressions a dash may be written as an underscore."""

TARGET = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"

JUDGES = "curate.judges."
"""What the targets of rubrics begin with: they ask a vision-language model."""

_SHA256 = r"^[0-9a-f]{64}$"

_COMPARED = r"(?P<card>[^/:]+|.+\.ya?ml):(?P<role>[a-z][a-z0-9_]*)"
"""A card, and the condition that it compares with in place of its own."""

_SHAPES = {
    NAME: "a name of small letters, digits, '_' and dashes that begins with a letter",
    TARGET: "a module and what it holds, such as my_module:MyRater",
    _SHA256: "a SHA-256 of 64 hexadecimal digits in small letters",
}
"""What matches a pattern, in words."""


class Dimension(Strict):
    """One number a rater gives."""

    about: str = ""
    range: tuple[float | None, float | None] = (None, None)
    """Lowest and highest value after flipping; null where unbounded."""

    @field_validator("range")
    @classmethod
    def _lowest_first(cls, value: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        lowest, highest = value
        if lowest is not None and highest is not None and lowest >= highest:
            raise ValueError(f"the lowest value comes first and the highest second, not {lowest:g} and {highest:g}")
        return value


class Weights(Strict):
    """Where a network's weights come from; give `hub` with `revision`, or `path`, or `package` with `file`."""

    hub: str | None = None
    """Repository on the Hugging Face Hub, `org/name`."""
    revision: str | None = None
    """Commit hash. `unpinned` where none is known yet; said aloud when used."""
    path: str | None = None
    """Local file or folder; relative to the card."""
    package: str | None = None
    """Installed Python package that carries the file."""
    file: str | None = None
    """File inside the repository, folder or package."""
    sha256: str | None = Field(default=None, pattern=_SHA256)

    @model_validator(mode="after")
    def _one_source(self) -> Weights:
        sources = [name for name in ("hub", "path", "package") if getattr(self, name)]
        if len(sources) != 1:
            raise ValueError("give exactly one of hub, path, package")
        if self.hub and not self.revision:
            raise ValueError("weights from the hub need a revision (a commit hash, or 'unpinned')")
        return self


class Takes(Strict):
    """What a rater needs of a sample."""

    response: Literal["image", "video", "text", "any"] = "image"
    prompt: Literal["required", "optional", "unused"] = "unused"
    conditions: tuple[str, ...] = ()
    """Roles that must be there: source, mask, reference … Where further ones are optional, a numbered one of them (reference_0)
    stands for the role itself."""
    optional: tuple[str, ...] = ()
    """Roles that are judged with where they are there, such as further references."""

    @model_validator(mode="after")
    def _once(self) -> Takes:
        if twice := sorted(set(self.conditions) & set(self.optional)):
            raise ValueError(f"'{twice[0]}' is among the conditions and optional as well")
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """All media that are judged, or judged with: the response first, the optional ones last."""
        return ("response", *self.conditions, *self.optional)

    @property
    def decides(self) -> dict[str, Any]:
        """What of it decides a number; `optional` only where there is any, since none is the same as not saying it."""
        return self.model_dump(mode="json", exclude=None if self.optional else {"optional"})

    def missing(self, there: Collection[str]) -> str | None:
        """The first condition that is not among the roles that are there; None where nothing is missing."""
        for role in self.conditions:
            stand_ins = (one for one in self.optional if re.fullmatch(rf"{re.escape(role)}_\d+", one))
            if role not in there and not any(one in there for one in stand_ins):
                return role
        return None


class Card(Strict):
    """A rater, declared."""

    name: Annotated[str, Field(pattern=NAME)]
    version: int = Field(ge=1)
    """Raised by the author when the same fields would give other numbers."""
    about: str
    """One line for people: what it measures."""
    target: Annotated[str, Field(pattern=TARGET)]
    """The engine, as `module:factory`."""
    args: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the engine; they are part of the fingerprint."""
    judges: Literal["samples", "pairs"] = "samples"
    pairing: Literal["all", "tournament"] = "all"
    """For raters of pairs: every two of a group, or rounds between neighbours by wins so far (`curate.rating.pairing`).

    No part of the fingerprint: it says which pairs are asked about, and nothing of the answers.
    """
    takes: Takes = Takes()
    frames: Frames | None = Frames()
    """How a rater of pictures looks at videos, or which frames a rater of videos is given; null where it takes no video."""
    dimensions: Mapping[str, Dimension]
    main: str
    """The dimension that the bare name of the card means."""
    higher_is_better: bool = True
    """False where the engine's raw number is smaller-is-better; values are flipped, so stored ones never are."""
    weights: Mapping[str, Weights] = Field(default_factory=dict)
    extra: str | None = None
    """The optional dependency group it needs."""
    licence: str = "unknown"
    commercial: bool | None = None
    """False where the licence forbids commercial use, and where there is none, since then nothing is allowed; null where the
    licence does not say."""
    paper: str | None = None
    source: str | None = None
    """Repository of the original."""
    trained_on: str | None = None
    parity: str | None = None
    """File under tests/golden with the numbers of the original; null says there are none."""
    notes: str | None = None

    @field_validator("dimensions")
    @classmethod
    def _dimension_names(cls, value: Mapping[str, Dimension]) -> Mapping[str, Dimension]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in {"status", "spread"}:
                raise ValueError(f"'{name}' cannot name a dimension: use a-z, 0-9 and _, and neither 'status' nor 'spread'")
        if not value:
            raise ValueError("a card has at least one dimension")
        return value

    @model_validator(mode="after")
    def _main_exists(self) -> Card:
        if self.main not in self.dimensions:
            raise ValueError(f"main is '{self.main}', which is not among the dimensions {', '.join(self.dimensions)}")
        return self

    @model_validator(mode="after")
    def _is_plain_data(self) -> Card:
        try:
            self.fingerprint  # noqa: B018
        except (TypeError, ValueError) as problem:
            raise ValueError(f"it holds what is neither text nor number nor list nor mapping of them ({problem})") from problem
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, which has a fingerprint of its own: pydantic would copy the old one with the rest."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("fingerprint", None)
        return copy

    @cached_property
    def fingerprint(self) -> str:
        """16 hex characters over all that decides a number. Weights count by repository, revision and hash, not by path."""
        weights = {
            role: {"hub": w.hub, "revision": w.revision, "file": w.file, "package": w.package, "sha256": w.sha256}
            | ({"path": w.path} if w.path and not w.sha256 else {})
            for role, w in self.weights.items()
        }
        decides = {
            "name": self.name,
            "version": self.version,
            "target": self.target,
            "args": dict(self.args),
            "judges": self.judges,
            "takes": self.takes.decides,
            "frames": self.frames and self.frames.model_dump(mode="json"),
            "dimensions": sorted(self.dimensions),
            "higher_is_better": self.higher_is_better,
            "weights": weights,
        }
        return hashlib.sha256(canonical_json(decides).encode()).hexdigest()[:16]


class CardFile(BaseModel):
    """A card and where it came from."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    card: Card
    where: str
    shipped: bool
    """Cards that did not come with the package may only name targets inside `curate.` unless trusted."""


def parse_card(text: str, *, where: str) -> Card:
    """The card that a YAML text declares; `where` is named in every complaint."""
    fields = parse_yaml(text, where=where, error=CardError)
    try:
        return Card.model_validate(fields)
    except ValidationError as problem:
        raise CardError(complaint(problem, Card, where=where, shapes=_SHAPES)) from problem


def shipped_cards() -> dict[str, CardFile]:
    """Every card that comes with the package, by name."""
    cards: dict[str, CardFile] = {}
    for entry in content_files("annotators", "", ".yaml"):
        file = _shipped_in(entry)
        name = file.card.name
        if name in cards:
            raise CardError(f"two shipped cards are named '{name}': {cards[name].where} and {entry.name}")
        cards[name] = file
    return cards


def _shipped_in(entry: Traversable) -> CardFile:
    """The card in one file of those that come with the package."""
    return CardFile(card=_parsed(entry.read_text(encoding="utf-8"), entry.name), where=str(entry), shipped=True)


@cache
def _parsed(text: str, where: str) -> Card:
    """What `parse_card` gives, once for each text: many commands ask for the same shipped cards again and again."""
    return parse_card(text, where=where)


def shipped_names() -> frozenset[str]:
    """The names of the cards that come with the package: each lies in a file of its name."""
    return frozenset(entry.name.removesuffix(".yaml") for entry in content_files("annotators", "", ".yaml"))


def load_card(spec: str) -> CardFile:
    """A card by name, or one of your own by the path of its file; `NAME=CARD` is that card under another name.

    `CARD:ROLE` is the card comparing with the condition ROLE in place of its own; `ssim:source` is named `ssim-source`.
    The name is part of the fingerprint, so the same card under two names is two raters. A path that holds '=' is a path where
    such a file exists. Raises `CardError`, also for a name that a field of the samples has.
    """
    name, equals, card = spec.partition("=")
    if equals and not os.path.exists(spec):  # noqa: PTH110 - Path.exists raises where the name is too long to be one
        if not re.fullmatch(NAME, name):
            raise CardError(f"'{spec}' is no file, and '{name}' cannot name a rater; write NAME=CARD, with {_SHAPES[NAME]}")
        file = _card_at(card)
        return _nameable(file.model_copy(update={"card": file.card.model_copy(update={"name": name})}))
    return _nameable(_card_at(spec))


def _nameable(file: CardFile) -> CardFile:
    """The card; raises `CardError` where an expression that names it would mean a field of the sample."""
    name = file.card.name
    if name in View.FIELDS:
        raise CardError(
            f"{file.where}: in expressions '{name}' is a field of the sample, so no rater can be named so; call it otherwise, "
            f"as in my_{name}=CARD"
        )
    return file


def _card_at(name_or_path: str) -> CardFile:
    """The card of a name or in a file, as it calls itself; `CARD:ROLE` is that card comparing with another condition."""
    if compared := re.fullmatch(_COMPARED, name_or_path):
        return _compared_with(_card_at(compared["card"]), compared["role"])
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as problem:
            raise CardError(f"there is no card {name_or_path}") from problem
        except (OSError, UnicodeDecodeError) as problem:
            raise CardError(f"cannot read the card {name_or_path}: {problem}") from problem
        card = _with_contents(parse_card(text, where=name_or_path), path.parent)
        return CardFile(card=card, where=str(path), shipped=False)
    # The one file that is wanted: reading all of them takes most of a second.
    for entry in content_files("annotators", "", f"{name_or_path}.yaml"):
        if entry.name == f"{name_or_path}.yaml":
            return _shipped_in(entry)
    names = shipped_names()
    raise CardError(
        f"no card is named '{name_or_path}'. {nearest(name_or_path, names)} To use your own, pass the path of a YAML card."
    )


def _compared_with(file: CardFile, role: str) -> CardFile:
    """The card that compares with the condition `role` in place of its own, with the role behind its name: ssim-source.

    Numbers of the original were measured with the card's own condition, so there are none. Raises `CardError` for a card that
    does not compare with exactly one condition.
    """
    card = file.card
    if len(card.takes.conditions) != 1:
        several = f"takes {', '.join(card.takes.conditions)}" if card.takes.conditions else "compares with nothing"
        raise CardError(f"{file.where}: '{card.name}' {several}, so ':{role}' is no one condition that it could take instead")
    changed = {
        "name": f"{card.name}-{role}",
        "about": f"{card.about} Compared with the condition '{role}'.",
        "takes": card.takes.model_copy(update={"conditions": (role,), "optional": ()}),
        "parity": None,
    }
    return file.model_copy(update={"card": card.model_copy(update=changed)})


def _with_contents(card: Card, folder: Path) -> Card:
    """The card with the SHA-256 of its own weights filled in, so that other weights at the same path are another rater."""
    weights = {}
    for role, one in card.weights.items():
        weights[role] = one
        if one.path is not None and one.sha256 is None:
            place = folder / Path(one.path).expanduser()
            digest = _contents(place / one.file if one.file else place)
            weights[role] = one if digest is None else one.model_copy(update={"sha256": digest})
    return card.model_copy(update={"weights": weights})


def _contents(place: Path) -> str | None:
    """SHA-256 of a file, or of the names and contents of a folder; None where there is nothing."""
    if place.is_file():
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not place.is_dir():
        return None
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return hashlib.sha256(
        canonical_json([[str(path.relative_to(place)), _contents(path)] for path in files]).encode()
    ).hexdigest()
