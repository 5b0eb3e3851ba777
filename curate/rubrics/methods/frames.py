"""Two videos compared over several rounds, in which the judge asks for the frames it wants to see.

VR-Thinker (Wang et al., arXiv 2510.10518): it is shown a few frames of each video and may ask for others by number. Only those
of the last request are shown again; of those before there is what the judge wrote down about them. Frames are numbered from 1,
those of the second video after those of the first. Both orders are judged, as by `curate.rubrics.methods.pairwise`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from curate.asks import Picture, Reply
from curate.cards import CardFile
from curate.errors import CardError
from curate.rubrics.calling import Asking, Heard, Question, hear
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.messages import Names
from curate.rubrics.methods.pairwise import ORDERS, compared
from curate.rubrics.readers import SAID, TEXT, Reader
from curate.rubrics.replies.base import Outputs
from curate.rubrics.replies.formats.vr_thinker import frames_asked_for, snapshot_of
from curate.rubrics.spec import Call, Common
from curate.rubrics.values import Values

CALL = "judge"
"""The name of the call in `values`."""

FRAMES = "frames"
"""The role of the frames that a round shows."""

SNAPSHOT = "snapshot"
"""The place of what the judge wrote down of earlier frames."""

NOTHING_YET = "(nothing yet)"

_OWN = ("first_frames", "second_frames", "round", "rounds")
"""Places for numbers that the method knows."""


class FramesArguments(Common):
    """The `args` of a card with `rubric: frames`."""

    rubric: Literal["frames"]
    call: Call
    """Every round. Its messages show `pictures: frames` and hold `{snapshot}`; `{first_frames}` and `{second_frames}` are the
    numbers of the frames of each video ('1 to 24'), `{round}` and `{rounds}` which round it is of how many at most."""
    values: Mapping[str, str]
    """For each dimension, arithmetic over what the last round says: the probability that the first video is better."""
    verdict: Literal["soft", "hard"] = "hard"
    start: int = Field(default=4, ge=1)
    """Frames of each video that the first round shows, evenly spaced."""
    most: int = Field(default=8, ge=1)
    """Frames that a request may name."""
    rounds: int = Field(default=3, ge=1, le=20)

    @model_validator(mode="after")
    def _reads_text(self) -> FramesArguments:
        if self.call.reads.labels is not None:
            raise ValueError("a judge that asks for frames writes: read a format, not labels")
        return self


class FrameRequests:
    """The method `frames`."""

    Arguments = FramesArguments

    def __init__(self, arguments: FramesArguments, file: CardFile) -> None:
        if file.card.judges != "pairs" or file.card.takes.response != "video":
            raise CardError(
                f"{file.where}: 'rubric: frames' is for pairs of videos: 'judges: pairs', 'takes: {{response: video}}'"
            )
        self.pictures = arguments.pictures
        self.reads_labels = False
        self._arguments = arguments
        self._dimensions = tuple(file.card.dimensions)
        names = Names.of(file.card, texts=(SNAPSHOT, *_OWN), pictures=(FRAMES,))
        self._asking = Asking(arguments.call, names, name=CALL, where=file.where, field="args.call")
        messages = self._asking.messages
        if FRAMES not in messages.roles or SNAPSHOT not in messages.texts:
            raise CardError(f"{file.where}, field 'args.call.messages': show 'pictures: {FRAMES}', and write {{{SNAPSHOT}}}")
        self._values = Values(
            arguments.values, {CALL: self._asking.reader.outputs}, dimensions=self._dimensions, where=file.where
        )
        self.shown = (messages.shown - {FRAMES}) | {"response"}

    def converse(self, case: Case) -> Conversation:
        """Both orders side by side, each for as many rounds as it takes; see `Method`."""
        watching = [_Watching(self, case, order) for order in ORDERS]
        for number in range(self._arguments.rounds):
            open_ = [one for one in watching if one.said is None]
            outcomes = yield from hear([one.question(number) for one in open_], attempts=self._arguments.attempts)
            for one, outcome in zip(open_, outcomes, strict=True):
                if isinstance(outcome, NoJudgementError):
                    raise outcome
                one.hear(outcome)
            if all(one.said is not None for one in watching):
                break
        ended = [one.said for one in watching if one.said is not None]
        assert len(ended) == len(ORDERS), "in the last round no request is read"
        measured = [self._values.over([{CALL: one.outputs}]) for one in ended]
        return {
            name: compared(
                measured[0][name],
                measured[1][name],
                verdict=self._arguments.verdict,
                notes=[note for one in ended for note in one.notes],
                said={
                    f"{order}: rounds": "\n".join(one.notebook)
                    for order, one in zip(("as they are", "swapped"), watching, strict=True)
                },
            )
            for name in self._dimensions
        }

    def question(
        self, case: Case, order: Sequence[int], number: int, shown: Sequence[tuple[int, Picture]], snapshot: str
    ) -> Question:
        """One round about a case: the frames it shows, and what was written down before."""
        lengths = [len(case.candidates[position].pictures.get("response", ())) for position in order]
        own = {
            "first_frames": f"1 to {lengths[0]}",
            "second_frames": f"{lengths[0] + 1} to {sum(lengths)}",
            "round": str(number + 1),
            "rounds": str(self._arguments.rounds),
        }
        asked = self._asking.about(
            case, seed=(*order, number), order=order, data={SNAPSHOT: snapshot or NOTHING_YET}, own=own, pictures={FRAMES: shown}
        )
        is_last = number + 1 == self._arguments.rounds
        return replace(asked, reader=_Round(asked.reader, last=sum(lengths), most=0 if is_last else self._arguments.most))

    @property
    def start(self) -> int:
        """Frames of each video in the first round."""
        return self._arguments.start


class _Watching:
    """One order of a pair, from round to round."""

    def __init__(self, method: FrameRequests, case: Case, order: Sequence[int]) -> None:
        self._method = method
        self._case = case
        self._order = order
        self._frames = [picture for position in order for picture in case.candidates[position].pictures.get("response", ())]
        self._wanted = self._first()
        self.notebook: list[str] = []
        self.said: Heard | None = None
        """What the last round said; None while frames are asked for."""

    def question(self, number: int) -> Question:
        shown = [(frame, self._frames[frame - 1]) for frame in self._wanted]
        return self._method.question(self._case, self._order, number, shown, "\n".join(self.notebook))

    def hear(self, heard: Heard) -> None:
        """Take what a round said: the frames of the next, or the end."""
        text = heard.outputs[SAID]
        if isinstance(text, str) and (written := snapshot_of(text)):
            self.notebook.append(written)
        wanted = heard.outputs.get(FRAMES)
        if isinstance(wanted, tuple):
            self._wanted = [int(frame) for frame in wanted]
        else:
            self.said = heard

    def _first(self) -> list[int]:
        """Evenly spaced frames of each video, by number."""
        numbers = []
        before = 0
        for position in self._order:
            count = len(self._case.candidates[position].pictures.get("response", ()))
            steps = min(self._method.start, count)
            numbers += [before + 1 + (step * (count - 1)) // max(steps - 1, 1) for step in range(steps)]
            before += count
        return numbers


class _Round(Reader):
    """Reads a request for frames, or else what the card's own reader reads."""

    def __init__(self, ending: Reader, *, last: int, most: int) -> None:
        self.outputs = {**ending.outputs, FRAMES: TEXT}
        self._ending = ending
        self._last = last
        self._most = most

    def read(self, reply: Reply) -> Outputs:
        """See `Reader`; a request gives the numbers of its frames."""
        request = frames_asked_for(reply.text, last=self._last, most=self._most) if self._most else None
        if request is None:
            return self._ending.read(reply)
        return {SAID: reply.text, FRAMES: tuple(float(frame) for frame in request.frames)}

    def kept(self, outputs: Outputs) -> dict[str, str]:
        return {}
