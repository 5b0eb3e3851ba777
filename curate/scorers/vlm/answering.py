"""A judge on this machine: answers asks with the weights of a card, in batches, instead of a server.

Any image-text-to-text model of transformers will do. Label asks are one forward pass, read at the exact tokens of the labels over
the whole vocabulary; text asks are generated. An ask says all that its answer is sampled by: penalties and cuts of the
distribution that a checkpoint recommends are not used, and a JSON Schema is not enforced.

Asks of a batch are of one kind: with labels, or with texts of one length, and about equally many pictures and words. Which ones
share a batch changes no answer beyond rounding.

Pictures are resized as servers do (torchvision's bicubic), so that the same rubric gives the same numbers there; pictures whose
sides the model takes as they are (multiples of 28 for Qwen2.5-VL) are not resized at all.
"""

from __future__ import annotations

import gc
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from curate.asks import Answer, Ask, Distribution, Label, Model, Picture, Reply, Trouble, Usage
from curate.cards import CardFile
from curate.errors import CurateError
from curate.halving import in_halves
from curate.rater_settings import Settings
from curate.records import Status
from curate.scorers.devices import Precision, is_out_of_memory, pick_device
from curate.scorers.precision import full_precision
from curate.scorers.vlm.chats import ChatTemplate
from curate.scorers.vlm.labels import label_tokens
from curate.scorers.vlm.speaking import say
from curate.scorers.vlm.vision_language import VisionLanguage, load_vision_language
from curate.shards.media import MediaError, decode_image
from curate.weights import UNPINNED, declared

BATCH = 8
"""Asks in a batch where the settings do not say; fewer as soon as that many do not fit in memory."""

_CHOSEN_FROM = 4
"""A batch is chosen from so many times as many asks, so that those in it are alike."""

_PIXELS_OF_A_TOKEN = 28**2
_LETTERS_OF_A_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """An ask as the model takes it."""

    ticket: int
    ask: Ask
    text: str
    pictures: Sequence[Image.Image]
    tokens: Mapping[str, Mapping[str, tuple[int, ...]]]
    """For each label, ids by spelling (`label_tokens`)."""


class LocalBackend:
    """Answers asks with the model under `weights.model`; a `curate.asks.Backend`. Used from one thread."""

    def __init__(self, file: CardFile, settings: Settings, *, dtype: Precision | None = None) -> None:
        """`dtype` is the precision of the network, None that of the checkpoint; probabilities are float32 always.

        Of several devices the first is used. Raises `CardError` and `WeightsError` where there is no such model.
        """
        self._where = file.where
        self._device = pick_device(settings.device.split(",")[0])
        self._network = load_vision_language(
            file, device=self._device, offline=settings.offline, resizes="torchvision", dtype=dtype
        )
        self._template = ChatTemplate(self._network.processor, where=file.where)
        self._batch_size = settings.batch_size or BATCH
        self.slots = _CHOSEN_FROM * self._batch_size
        self._waiting: dict[int, Ask] = {}
        self._given_up = False
        self._tokens = lru_cache(maxsize=256)(self._label_tokens)
        self.model = _identity(file, self._network)

    def put(self, tickets: Sequence[tuple[int, Ask]]) -> None:
        """Take asks, each under a number of the caller's."""
        self._waiting.update(tickets)

    def get(self) -> Sequence[tuple[int, Answer]]:
        """Answers to the ask that has waited longest and to those that are most like it.

        Raises `CardError` where no spelling of a label is one token of the model, or two labels are the same token.
        """
        if self._given_up:
            raise CurateError("the run was stopped while judges were answering")
        answered: list[tuple[int, Answer]] = []
        ready: list[_Ready] = []
        for ticket, ask in self._next_batch():
            one = self._prepared(ticket, ask)
            if isinstance(one, Trouble):
                answered.append((ticket, one))
            else:
                ready.append(one)
        if ready:
            answered += in_halves(ready, self._answered, failed=_failed, is_out_of_memory=is_out_of_memory, shrink=self._shrink)
        return answered

    def poll(self) -> Sequence[tuple[int, Answer]]:
        """None: answers are made when they are asked for by `get`."""
        return ()

    def give_up(self) -> None:
        """Answer no further batch, from whatever thread it is said."""
        self._given_up = True

    def close(self) -> None:
        """Forget what waits; the model goes as soon as nobody else uses it."""
        self._waiting.clear()
        self._tokens.cache_clear()
        self._free()

    def _next_batch(self) -> list[tuple[int, Ask]]:
        """Takes the oldest ask out of those that wait, and with it the most alike of its kind."""
        first = next(iter(self._waiting.values()))
        kind, length = _kind(first), _length(first)
        alike = [one for one in self._waiting.items() if _kind(one[1]) == kind]
        alike.sort(key=lambda one: abs(_length(one[1]) - length))  # stable: of equally long ones, the oldest
        batch = alike[: self._batch_size]
        for ticket, _ in batch:
            del self._waiting[ticket]
        return batch

    def _prepared(self, ticket: int, ask: Ask) -> _Ready | Trouble:
        try:
            text = self._template.text(ask.turns)
        except CurateError as problem:
            return Trouble(status=Status.ERROR, detail=f"chat: {problem}")
        try:
            pictures = [_opened(picture) for picture in ask.pictures]
        except MediaError as problem:
            return Trouble(status=problem.status, detail=f"image_rejected: {problem.detail}")
        tokens = self._tokens(self._template.tail(text), ask.labels) if ask.labels else {}
        return _Ready(ticket=ticket, ask=ask, text=text, pictures=pictures, tokens=tokens)

    def _label_tokens(self, before: str, labels: tuple[Label, ...]) -> Mapping[str, Mapping[str, tuple[int, ...]]]:
        return label_tokens(labels, tokenise=self._network.tokenise, before=before, where=self._where)

    @torch.no_grad()
    def _answered(self, batch: Sequence[_Ready]) -> list[tuple[int, Answer]]:
        began = time.monotonic()
        encoded = self._network.encode([one.text for one in batch], [one.pictures for one in batch])
        lengths = encoded["attention_mask"].sum(dim=1).tolist()
        if too_long := self._too_long(batch, lengths):
            # Whoever is cut short would be judged by what is left of it; the others are answered without it.
            fit = [one for row, one in enumerate(batch) if row not in too_long]
            troubles = [(batch[row].ticket, trouble) for row, trouble in too_long.items()]
            return [*troubles, *(self._answered(fit) if fit else [])]
        with full_precision():
            answers = self._read(batch, encoded) if batch[0].ask.labels else self._said(batch, encoded)
        seconds = time.monotonic() - began
        return [
            (one.ticket, replace(answer, usage=replace(answer.usage, prompt_tokens=length, seconds=seconds)))
            for one, answer, length in zip(batch, answers, lengths, strict=True)
        ]

    def _read(self, batch: Sequence[_Ready], encoded: Mapping[str, Tensor]) -> list[Answer]:
        logs = self._network.next_logits(encoded).log_softmax(dim=-1).cpu()
        return [_distribution(row, one) for row, one in zip(logs, batch, strict=True)]

    def _said(self, batch: Sequence[_Ready], encoded: Mapping[str, Tensor]) -> list[Answer]:
        asks = [one.ask for one in batch]
        said = say(self._network, encoded, asks, max_tokens=asks[0].max_tokens)
        return [Reply(text=one.text, finish=one.finish, usage=Usage(completion_tokens=one.tokens)) for one in said]

    def _too_long(self, batch: Sequence[_Ready], lengths: Sequence[int]) -> dict[int, Trouble]:
        """By row, those that the model has no places for, the answer included."""
        if (context := self._network.context) is None:
            return {}
        needed = [length + (0 if one.ask.labels else one.ask.max_tokens) for one, length in zip(batch, lengths, strict=True)]
        return {
            row: Trouble(status=Status.TOO_LARGE, detail=f"too_long: {places} tokens, and the model takes {context}")
            for row, places in enumerate(needed)
            if places > context
        }

    def _shrink(self, size: int) -> None:
        self._batch_size = min(self._batch_size, size)
        gc.collect()
        self._free()

    def _free(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _identity(file: CardFile, network: VisionLanguage) -> Model:
    """The repository and the commit of the weights, of weights that lie elsewhere what is in their files, and what runs them."""
    weights = declared(file, "model")
    backend = f"transformers {version('transformers')}, {str(network.model.dtype).removeprefix('torch.')}"
    if weights.hub is None:
        return Model(name=f"sha256:{network.digest}", backend=backend)
    # The cache of the hub names its folders by commits.
    commit = network.folder.name if re.fullmatch(r"[0-9a-f]{40}", network.folder.name) else None
    return Model(name=weights.hub, revision=commit if weights.revision == UNPINNED else weights.revision, backend=backend)


def _kind(ask: Ask) -> tuple[bool, int, int]:
    """Asks of one kind can share a batch."""
    return bool(ask.labels), len(ask.pictures), 0 if ask.labels else ask.max_tokens


def _length(ask: Ask) -> int:
    """About how many tokens an ask has."""
    letters = sum(len(part) for turn in ask.turns for part in turn.parts if isinstance(part, str))
    area = sum(picture.width * picture.height for picture in ask.pictures)
    return letters // _LETTERS_OF_A_TOKEN + area // _PIXELS_OF_A_TOKEN


def _opened(picture: Picture) -> Image.Image:
    return Image.fromarray(decode_image(picture.data).pixels)


def _distribution(logs: Float[Tensor, " vocabulary"], one: _Ready) -> Answer:
    """What the model was about to say, as it is read from a server that tells the probabilities of exact tokens.

    A spelling that is several tokens is absent, and at most as probable as the first of them (the floor); where that is a label
    itself, it is counted there. One that cannot stand behind the prompt, or is counted as another spelling of its label, is zero.
    """
    first = {
        label.name: {spelling: float(logs[tokens[0]]) for spelling, tokens in one.tokens[label.name].items()}
        for label in one.ask.labels
    }
    if not all(math.isfinite(log) for spellings in first.values() for log in spellings.values()):
        return Trouble(status=Status.NAN, detail="nan: the probabilities of the labels are no numbers")
    whole = {tokens[0] for spellings in one.tokens.values() for tokens in spellings.values() if len(tokens) == 1}
    found: dict[str, dict[str, float]] = {label.name: {} for label in one.ask.labels}
    bounds = []
    for label in one.ask.labels:
        for spelling in label.spellings:
            tokens = one.tokens[label.name].get(spelling, ())
            if len(tokens) == 1:
                found[label.name][spelling] = first[label.name][spelling]
            elif not tokens or tokens[0] in whole:
                found[label.name][spelling] = -math.inf
            else:
                bounds.append(first[label.name][spelling])
    return Reply(distribution=Distribution(logprobs=found, floor=max(bounds, default=None)))


def _failed(one: _Ready, status: Status, detail: str) -> tuple[int, Answer]:
    return one.ticket, Trouble(status=status, detail=detail)
