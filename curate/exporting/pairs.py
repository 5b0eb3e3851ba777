"""Pairs on their way into an export: looked up, refused with a reason where a trainer could not use them, and read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from curate.exporting.folder import Folder
from curate.exporting.lookup import with_samples
from curate.exporting.media import Image, ImageReader, MediaProblem
from curate.exporting.options import Options
from curate.exporting.selection import Selection
from curate.exporting.source import SampleInfo, Source
from curate.records import Funnel, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyPair:
    """A pair with everything an export writes of it. Never a tie, never two equal images."""

    pair: Pair
    prompt: str
    chosen: Image
    rejected: Image
    chosen_generator: str | None
    rejected_generator: str | None
    pairs_of_prompt: int
    """Pairs of the same group in the same split that are in the export, this one included."""

    @property
    def uid(self) -> str:
        """A name from the two samples alone: 32 hex characters."""
        return hashlib.sha256(f"{self.pair.chosen}>{self.pair.rejected}".encode()).hexdigest()[:32]


class PairReader:
    """Streams the pairs of a selection that can be exported, and counts the others by reason."""

    def __init__(self, selection: Selection, source: Source, options: Options, *, by_majority: bool = False) -> None:
        """`by_majority` leaves out pairs of which not more than half of the raters asked agree."""
        self._selection = selection
        self._by_majority = by_majority
        self._source = source
        self._images = ImageReader(source, cache_bytes=options.cache_bytes)
        self.funnel = Funnel(step="export", unit="pairs")
        self.with_conditions = 0
        """Pairs whose request has conditions (a source image, a mask …), which no format of pairs carries."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the export should know about these pairs; complete after `read` has ended."""
        return conditions_note(self.with_conditions, "pairs")

    def read(self, folder: Folder) -> Iterator[ReadyPair]:
        """Every pair that can be exported, by split and group. Holds the images of two samples and the cache, no more."""
        groups = self._selection.pairs(folder.scratch)
        for group, known in with_samples(groups, lambda pair: (pair.chosen, pair.rejected), self._source):
            self.funnel.taken += len(group)
            usable = [pair for pair in self._unrefused(group, known) if self._is_usable(pair, known)]
            for pair in usable:
                ready = self._ready(pair, known, len(usable))
                if ready is not None:
                    self.funnel.kept += 1
                    self.with_conditions += bool(known[pair.chosen].sample.conditions)
                    yield ready

    def _unrefused(self, group: list[Pair], known: Mapping[str, SampleInfo]) -> Iterator[Pair]:
        seen: set[tuple[str, str]] = set()
        for pair in group:
            reason = "pair stands twice" if (pair.chosen, pair.rejected) in seen else _refusal(pair, known)
            if reason is None and self._by_majority and agreement(pair) <= 0.5:
                reason = "not more than half of the raters agree"
            seen.add((pair.chosen, pair.rejected))
            if reason is None:
                yield pair
            else:
                self.funnel.drop(reason)

    def _is_usable(self, pair: Pair, known: Mapping[str, SampleInfo]) -> bool:
        try:
            chosen = self._images.read(known[pair.chosen])
            if chosen.is_same_picture(self._images.read(known[pair.rejected])):
                raise MediaProblem("both images have the same pixels")
        except MediaProblem as problem:
            self.funnel.drop(problem.reason)
            return False
        return True

    def _ready(self, pair: Pair, known: Mapping[str, SampleInfo], pairs_of_prompt: int) -> ReadyPair | None:
        chosen, rejected = known[pair.chosen], known[pair.rejected]
        try:
            return ReadyPair(
                pair=pair,
                prompt=chosen.sample.prompt or "",
                chosen=self._images.read(chosen),
                rejected=self._images.read(rejected),
                chosen_generator=chosen.sample.generator,
                rejected_generator=rejected.sample.generator,
                pairs_of_prompt=pairs_of_prompt,
            )
        except MediaProblem as problem:  # read once already, and out of the cache since: storage that comes and goes
            self.funnel.drop(problem.reason)
            return None


def agreement(pair: Pair) -> float:
    """Share of the raters asked that agree; where none was asked, the one that chose agrees with itself."""
    return 1.0 if pair.confidence is None else pair.confidence


def conditions_note(count: int, unit: str) -> list[str]:
    """The sentence that says what is lost of requests with conditions; nothing where there are none."""
    if not count:
        return []
    return [f"{count} {unit} answer a request with conditions (a source image, a mask …); this format has no place for those."]


def _refusal(pair: Pair, known: Mapping[str, SampleInfo]) -> str | None:
    """Why no trainer of pairs can use this pair, judged without its media; None where one can."""
    if pair.chosen not in known or pair.rejected not in known:
        return "sample is not in the store"
    chosen, rejected = known[pair.chosen].sample, known[pair.rejected].sample
    if not all(map(math.isfinite, (pair.margin, pair.chosen_value, pair.rejected_value))):
        return "value is not a finite number"
    if pair.margin < 0 or pair.chosen_value < pair.rejected_value:
        return "chosen is not the better one"
    if not (pair.margin > 0 and pair.chosen_value > pair.rejected_value):
        return "tie"
    if {chosen.kind, rejected.kind} != {"image"}:
        return "medium is not an image"
    if chosen.prompt != rejected.prompt:
        return "prompts of one group differ"
    if not (chosen.prompt or "").strip():
        return "no prompt"
    if chosen.digest == rejected.digest:
        return "both images are the same"
    return None
