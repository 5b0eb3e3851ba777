"""Ranked lists on their way into an export: looked up, refused with a reason where a trainer could not use them, and read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from curate.exporting.folder import Folder
from curate.exporting.lookup import with_samples
from curate.exporting.media import Image, ImageReader, MediaProblem
from curate.exporting.options import Options
from curate.exporting.pairs import conditions_note
from curate.exporting.selection import RankedRow, Selection
from curate.exporting.source import SampleInfo, Source
from curate.records import Funnel


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One place of a ranked list."""

    row: RankedRow
    image: Image
    generator: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyList:
    """A ranking with everything an export writes of it: two responses or more, best first, not all of them tied."""

    group: str
    split: str
    prompt: str
    responses: Sequence[Response]

    @property
    def media_bytes(self) -> int:
        return sum(len(response.image.data) for response in self.responses)


class ListReader:
    """Streams the rankings that can be exported; counts the others, and every response that is left out, by reason."""

    def __init__(self, selection: Selection, source: Source, options: Options, *, whole: bool, with_wins: bool = False) -> None:
        """`whole` leaves out a list of which any response is missing; otherwise the rest of it stands.

        `with_wins` leaves out responses without φ where the ranking was made with φ.
        """
        self._selection = selection
        self._source = source
        self._most_bytes = options.list_bytes
        self._images = ImageReader(source, cache_bytes=0)
        self._whole = whole
        self._needs_wins = with_wins and selection.asked_for_wins()
        self._with_conditions = 0
        self.lists = Funnel(step="export", unit="lists")
        self.responses = Funnel(step="export", unit="responses")

    @property
    def notes(self) -> list[str]:
        """What a reader of the export should know about these lists; complete after `read` has ended."""
        return conditions_note(self._with_conditions, "lists")

    def read(self, folder: Folder) -> Iterator[ReadyList]:
        """Every list that can be exported, by split and group. Holds the images of one list."""
        groups = self._selection.rankings(folder.scratch)
        for rows, known in with_samples(groups, lambda row: (row.sample,), self._source):
            self.lists.taken += 1
            self.responses.taken += len(rows)
            found, reason = self._found(rows, known)
            if reason is None:
                self.lists.kept += 1
                self.responses.kept += len(found)
                sample = known[rows[0].sample].sample if rows[0].sample in known else None
                self._with_conditions += bool(sample and sample.conditions)
                yield ReadyList(
                    group=rows[0].group,
                    split=rows[0].split,
                    prompt=known[found[0].row.sample].sample.prompt or "",
                    responses=found,
                )
            else:
                self.lists.drop(reason)
                self.responses.drop("its list is left out", len(found))

    def _found(self, rows: list[RankedRow], known: Mapping[str, SampleInfo]) -> tuple[list[Response], str | None]:
        """The responses that can be read, and why the list is left out, if it is."""
        if sum(_length(known.get(row.sample)) for row in rows) > self._most_bytes:
            self.responses.drop("its list is left out", len(rows))
            return [], "images of the list are over the limit"
        found: list[Response] = []
        missing: str | None = None
        for row in rows:
            try:
                found.append(self._response(row, known, found))
            except MediaProblem as problem:
                self.responses.drop(problem.reason)
                missing = missing or problem.reason
        if self._whole and missing:
            return found, f"a response is missing: {missing}"
        return found, _refusal(found, known)

    def _response(self, row: RankedRow, known: Mapping[str, SampleInfo], before: list[Response]) -> Response:
        if row.sample not in known:
            raise MediaProblem("sample is not in the store")
        if not math.isfinite(row.value):
            raise MediaProblem("value is not a finite number")
        if self._needs_wins and row.wins is None:
            raise MediaProblem("no value of what wins are counted by")
        info = known[row.sample]
        if any(info.sample.digest == response.image.digest for response in before):
            raise MediaProblem("image stands twice in one list")
        image = self._images.read(info)
        if any(image.is_same_picture(response.image) for response in before):
            raise MediaProblem("pixels stand twice in one list")
        return Response(row=row, image=image, generator=info.sample.generator)


def _refusal(found: list[Response], known: Mapping[str, SampleInfo]) -> str | None:
    """Why no trainer can use a list of these responses; None where one can."""
    if len(found) < 2:
        return "fewer than two responses"
    if len({response.row.rank for response in found}) == 1:
        return "all responses tie"
    prompts = {known[response.row.sample].sample.prompt for response in found}
    if len(prompts) > 1:
        return "prompts of one group differ"
    return None if (prompts.pop() or "").strip() else "no prompt"


def _length(info: SampleInfo | None) -> int:
    members = [medium.member for medium in info.sample.response] if info else []
    return sum(member.length for member in members if member is not None)
