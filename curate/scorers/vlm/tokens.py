"""Asking a Qwen-VL a long question and reading it at the reward tokens: what HPSv3, EditReward and VideoReward share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import CardError
from curate.fixed_text import FixedText
from curate.records import Status
from curate.scorers.passes import Inputs, Scores
from curate.scorers.sharing import Memo
from curate.scorers.vlm.images import is_unfit, visual_tokens
from curate.scorers.vlm.qwen import QwenReader
from curate.scorers.vlm.templates import NEUTRALISED, SLOT, fill, load_template

REMEMBERED_PICTURES = 64
"""Visual tokens of so many pictures are kept: the source of an edit is looked at once for all its candidates."""

UNFIT = (Status.NOT_APPLICABLE, "the picture is more than 200 times as long as wide, which the network does not take")


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Network:
    """A loaded reader with its heads."""

    reader: QwenReader
    heads: Mapping[str, nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A long text with a place for the caption, and the tokens that it is read at."""

    template: str
    tail: str
    tokens: tuple[str, ...]

    def text(self, caption: str, control: Sequence[str]) -> tuple[str, bool]:
        """The whole question about a caption, and whether the caption had to be defused."""
        filled, defused = fill(self.template, caption, control)
        return filled + self.tail, defused


def load_question(file: CardFile, template: FixedText, *, tail: str, tokens: Sequence[str], offline: bool) -> Question:
    """The question of a card. Raises `CardError` where it does not hold each reward token once, else as `load_template`."""
    question = Question(template=load_template(file, template, offline=offline), tail=tail, tokens=tuple(tokens))
    whole = question.template.replace(SLOT, "") + tail
    for token in tokens:
        if whole.count(token) != 1:
            raise CardError(f"{file.where}: the question holds {token} {whole.count(token)} times; it is read there, so once")
    return question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a reader made of a batch of questions."""

    states: Float[Tensor, "batch tokens hidden"]
    """At the reward tokens, in their order, in float32. Rows that failed hold zeros."""
    notes: Mapping[int, str]
    failures: Mapping[int, tuple[Status, str]]


class Eyes:
    """Looks at the media of a batch, at equal ones once."""

    def __init__(self, reader: QwenReader, roles: Sequence[str], *, kind: str = "image") -> None:
        self._reader = reader
        self._roles = tuple(roles)
        self._kind = kind
        # A video is 150 MB of visual tokens, and nothing of it comes again.
        self._seen: Memo[Tensor] = Memo(0 if kind == "video" else REMEMBERED_PICTURES)

    def unfit(self, inputs: Inputs) -> bool:
        """Whether a medium of this batch is of a shape that the network does not take."""
        return any(is_unfit(inputs.pixels[role]) for role in self._roles)

    def look(self, inputs: Inputs) -> tuple[list[tuple[str, int]], Float[Tensor, "batch tokens hidden"]]:
        """Kinds and numbers of tokens of a sample's media, in order, and the visual tokens of each sample, all in a row."""
        media, seen = [], []
        for role in self._roles:
            pixels = inputs.pixels[role]
            frames = pixels if pixels.ndim == 5 else pixels[:, None]
            media.append((self._kind, visual_tokens(frames.shape[-2], frames.shape[-1], frames.shape[1])))
            seen.append(self._see(frames, inputs.keys_of(role)))
        return media, torch.cat(seen, dim=1)

    def forget(self) -> None:
        """Give back the memory of what was seen."""
        self._seen.clear()

    def _see(self, frames: Tensor, keys: Sequence[str] | None) -> Tensor:
        if keys is None:
            return self._reader.see(frames)
        return torch.stack(self._seen.many(keys, lambda new: list(self._reader.see(frames[list(new)]))))


def ask(
    reader: QwenReader,
    question: Question,
    prompts: Sequence[str],
    media: Sequence[tuple[str, int]],
    seen: Float[Tensor, "batch tokens hidden"],
) -> Answers:
    """The states at the reward tokens, one question for each prompt. A question that is too long for the network fails."""
    chats, notes = [], {}
    for row, prompt in enumerate(prompts):
        text, defused = question.text(prompt, reader.control)
        chats.append(reader.chat(text, media))
        if defused:
            notes[row] = NEUTRALISED
    failures = too_long([len(chat) for chat in chats], reader.context)
    rows = [row for row in range(len(chats)) if row not in failures]
    states = seen.new_zeros(len(chats), len(question.tokens), reader.hidden, dtype=torch.float32)
    if rows:
        reading = reader.read([chats[row] for row in rows], seen[rows])
        found = torch.stack([reading.at(reader.token(token)) for token in question.tokens], dim=1).float()
        states = states.index_copy(0, torch.tensor(rows, device=seen.device), found)
    return Answers(states=states, notes=notes, failures=failures)


def too_long(lengths: Sequence[int], context: int | None) -> dict[int, tuple[Status, str]]:
    """By row, texts of more tokens than the network has places for; `context` is None where it does not say how many."""
    if context is None:
        return {}
    return {
        row: (Status.TOO_LARGE, f"{length} tokens, and the network takes {context}")
        for row, length in enumerate(lengths)
        if length > context
    }


def all_failed(inputs: Inputs, dimensions: int, failure: tuple[Status, str]) -> Scores:
    """The scores of a batch of which nothing could be judged, for one reason."""
    batch = len(inputs.prompts)
    return Scores(values=torch.zeros(batch, dimensions), failures=dict.fromkeys(range(batch), failure))
