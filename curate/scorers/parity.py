"""`curate raters parity`: a rater against the numbers of its original, on this machine, with the real weights.

What cannot be tried is said, and passes nothing: without weights or pictures there is no result at all, and a number whose
inputs are published in words only is listed as not tried.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curate.cards import CardFile
from curate.errors import CurateError, MissingExtra
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.raters import Item, Preparation, Rater
from curate.records import Media, Sample, group_id, sample_id
from curate.scorers.golden import Case, Golden, Head, Inputs, Medium, load_golden
from curate.scorers.pictures import items_of
from curate.scorers.shelf import Shelf
from curate.shards.media import MediaError
from curate.shards.video import Video

Verdict = Literal["met", "missed", "not tried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One number of the original, and what came of it here."""

    case: str
    dimension: str
    expected: float
    got: float | None
    """None where it was not tried, or where the rater gave no number."""
    tolerance: float
    verdict: Verdict
    note: str
    """Who says the expected number; why there is none here."""

    @property
    def difference(self) -> float | None:
        """From what was expected, without a sign."""
        return None if self.got is None else abs(self.got - self.expected)

    def as_dict(self) -> dict[str, Any]:
        """As JSON, with the difference."""
        return {**asdict(self), "difference": self.difference}


def parity(
    file: CardFile, *, images: Path | None = None, device: str = "cpu", offline: bool = False, trust: bool = False
) -> list[Trial]:
    """Every number of the card's golden file, tried with the rater as it is loaded for use.

    `images` is the folder with the pictures that the file names; they are known by their hash, whatever they are called. Numbers
    are compared in the network's own direction. Raises `CurateError` where nothing can be tried: no numbers, no weights, or
    pictures that are missing, which are named.
    """
    golden = load_golden(file)
    if golden is None:
        raise CurateError(f"{file.where}: '{file.card.name}' has no numbers of an original, so there is nothing to compare with")
    cases = [*golden.published, *golden.measured]
    ready = [case for case in cases if isinstance(case.inputs, Inputs)]
    if not ready and not isinstance(golden.head, Head):
        raise CurateError(f"the original of '{file.card.name}' has no number that can be tried here: {golden.unverified or ''}")
    shelf = Shelf(images)
    shelf.check(file.card.name, [medium for case in ready for medium in _media(case)])
    trials = _try_head(file, golden, golden.head, offline=offline) if isinstance(golden.head, Head) else []
    if ready:
        rater = load_rater(file, Settings(device=device, offline=offline, trust=trust))
        try:
            trials += [trial for case in ready for trial in _try_case(file, rater, golden, case, shelf)]
        finally:
            rater.close()
    return [*trials, *(trial for case in cases if case not in ready for trial in _told_in_words(file, golden, case))]


def _media(case: Case) -> list[Medium]:
    return [case.inputs, *case.inputs.conditions.values()] if isinstance(case.inputs, Inputs) else []


def _try_case(file: CardFile, rater: Rater, golden: Golden, case: Case, shelf: Shelf) -> Iterator[Trial]:
    assert isinstance(case.inputs, Inputs), "only such cases can be tried"
    (judgement,) = rater.judge([_item(file, rater, case.inputs, shelf)])
    for dimension, expected in _by_dimension(file, case).items():
        value = judgement.values[dimension]
        note = case.source if value.value is not None else f"{value.status}: {value.detail}"
        yield _trial(case.inputs.picture, dimension, expected, value.value, _tolerance(golden, case), note)


def _told_in_words(file: CardFile, golden: Golden, case: Case) -> Iterator[Trial]:
    words = case.inputs if isinstance(case.inputs, str) else json.dumps(case.inputs, ensure_ascii=False)
    for dimension, expected in _by_dimension(file, case).items():
        yield Trial(
            case=words,
            dimension=dimension,
            expected=expected,
            got=None,
            tolerance=_tolerance(golden, case),
            verdict="not tried",
            note=f"its inputs are told in words only: {case.source}",
        )


def _trial(case: str, dimension: str, expected: float, got: float | None, tolerance: float, note: str) -> Trial:
    met = got is not None and abs(got - expected) <= tolerance
    return Trial(
        case=case,
        dimension=dimension,
        expected=expected,
        got=got,
        tolerance=tolerance,
        verdict="met" if met else "missed",
        note=note,
    )


def _by_dimension(file: CardFile, case: Case) -> Mapping[str, float]:
    if isinstance(case.expected, Mapping):
        return case.expected
    if isinstance(case.expected, tuple):
        return dict(zip(file.card.dimensions, case.expected, strict=True))
    return {file.card.main: case.expected}


def _tolerance(golden: Golden, case: Case) -> float:
    return golden.within if case.tolerance is None else case.tolerance


def _item(file: CardFile, rater: Rater, inputs: Inputs, shelf: Shelf) -> Item:
    """What the rater is asked, prepared as a decode worker would."""
    path, conditions = shelf.find(inputs), {role: shelf.find(medium) for role, medium in inputs.conditions.items()}
    assert path is not None, "checked before"
    if file.card.takes.response == "video":
        return _video_item(file, rater.preparations, path, inputs.prompt)
    prompts = None if inputs.prompt is None else [inputs.prompt]
    pictures = {role: [one] for role, one in conditions.items() if one is not None}
    (item,) = items_of(file.card, rater.preparations, [path], prompts, pictures)
    return item


def _video_item(file: CardFile, preparations: Sequence[Preparation], path: Path, prompt: str | None) -> Item:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert file.card.frames is not None, "a rater of videos says which frames it sees"
    try:
        video = Video(data)
        frames = [pixels for _, pixels in video.frames(file.card.frames.choose(video.times, key=digest))]
    except MediaError as problem:
        raise CurateError(f"cannot read the video {path}: {problem.detail}") from problem
    response = (Media(kind="video", digest=digest),)
    sample = Sample(
        id=sample_id(prompt, {}, response),
        group=group_id(prompt, {}),
        shard="",
        key=path.name,
        index=0,
        prompt=prompt,
        response=response,
    )
    prepared = {(one.role, one.name): np.stack([one.make(frame) for frame in frames]) for one in preparations}
    return Item(number=0, samples=(sample,), prepared=(prepared,))


def _try_head(file: CardFile, golden: Golden, head: Head, *, offline: bool) -> list[Trial]:
    """The head alone: needs its own small file of weights, and no encoder."""
    try:
        from curate.scorers.parity_heads import probed
    except ModuleNotFoundError as problem:
        raise MissingExtra("comparing a head with its original", "rewards", problem) from problem
    return [
        _trial(f"head of the embedding '{name}'", file.card.main, expected, got, golden.within, head.about)
        for name, expected, got in probed(file, head, offline=offline)
    ]
