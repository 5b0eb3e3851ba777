"""Settings that lie beside weights, held against what a card says.

The originals read such files; a card says the same again, so that it decides its numbers without them. Where the two differ, the
weights are others than the card is for, and what the network would say is no number of either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.cards import CardFile
from curate.errors import MissingWeights, WeightsError
from curate.weights import UNPINNED, declared, first_line, weights_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One entry of such a file, and what it has to be."""

    place: str
    """Names that lead to it, with dots between."""
    wanted: Any
    """What the card says, or what the engine does always."""
    unsaid: Any = None
    """What the original takes where the file does not say."""


_asked: set[tuple[str, ...]] = set()


def ask_for(file: CardFile, role: str, patterns: Sequence[str], *, offline: bool) -> None:
    """Fetch settings with the weights of a repository, where they are not here; one without them, or out of reach, has none.

    Once in a process, and never of the newest revision: that may be another than the one whose weights are here.
    """
    weights = declared(file, role)
    question = (file.where, role, weights.hub or "", weights.revision or "", *patterns)
    if weights.hub and weights.revision != UNPINNED and question not in _asked:
        if not offline:
            _asked.add(question)
        with suppress(MissingWeights):
            weights_folder(file, role, patterns, offline=offline)


def read_settings(path: Path, *, where: str) -> Mapping[str, Any]:
    """The mapping in a file of JSON; raises `WeightsError`, naming `where`, for what is none."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise WeightsError(f"{where}: cannot read {path}: {first_line(problem)}") from problem
    if not isinstance(settings, dict):
        raise WeightsError(f"{where}: {path} holds no settings by name")
    return settings


def agree(file: CardFile, path: Path, settings: Sequence[Setting]) -> None:
    """Raise `WeightsError` for the first entry of `path` that is not what the card wants; without the file there is none."""
    if not path.is_file():
        return
    said = read_settings(path, where=file.where)
    for one in settings:
        found = _at(said, one.place, one.unsaid)
        if found != one.wanted:
            other = f"{path} says that {one.place} is {json.dumps(found)}, and the card is for {json.dumps(one.wanted)}"
            raise WeightsError(f"{file.where}: {other}: name the weights that it is for, or copy the card and change it")


def _at(settings: Mapping[str, Any], place: str, unsaid: Any) -> Any:
    found: Any = settings
    for name in place.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return unsaid
        found = found[name]
    return found
