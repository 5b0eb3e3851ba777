"""Prompts as BERT's word pieces, the way BLIP and its kin read them.

The vocabulary is that of `bert-base-uncased`; BLIP's authors appended marks to it (`[DEC]`, `[ENC]`), which take the next ids.
Every prompt becomes the same number of tokens, padded behind a mask, so prompts of any lengths share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.libraries import import_transformers
from curate.scorers.reading import control_tokens, notes_on, said_of
from curate.scorers.sharing import Memo
from curate.scorers.transfers import sent
from curate.weights import weights_folder

_VOCABULARY = ("tokenizer*.json",)
_VOCABULARY_OF_OLD = ("vocab.txt",)

REMEMBERED_PROMPTS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPieces:
    """A batch of prompts, as a text network takes it."""

    ids: Int[Tensor, "batch length"]
    mask: Int[Tensor, "batch length"]
    """1 where there is a token, 0 where there is padding."""
    said: Sequence[str]
    """What is to be said of each prompt, empty where nothing is: that it was cut, that it holds control tokens."""


class Words:
    """A BERT tokenizer that gives `length` tokens for every prompt, the marks of beginning and end included."""

    def __init__(self, tokenizer: Any, *, length: int) -> None:
        self.length = length
        self._tokenizer = tokenizer
        self._control = control_tokens(tokenizer)
        self._known: Memo[tuple[Tensor, Tensor, str]] = Memo(REMEMBERED_PROMPTS)

    def __call__(self, prompts: Sequence[str], device: torch.device) -> WordPieces:
        """The word pieces of the prompts; one that is too long loses its last words and keeps its end mark."""
        found = self._known.many(prompts, lambda new: self._split([prompts[position] for position in new]))
        return WordPieces(
            ids=sent(torch.stack([ids for ids, _, _ in found]), device),
            mask=sent(torch.stack([mask for _, mask, _ in found]), device),
            said=[said for _, _, said in found],
        )

    def notes(self, pieces: WordPieces) -> dict[int, str]:
        """By position in the batch: what is to be said of prompts."""
        return notes_on("the prompt", pieces.said)

    def forget(self) -> None:
        """Give back the memory of what was split."""
        self._known.clear()

    def _split(self, prompts: Sequence[str]) -> list[tuple[Tensor, Tensor, str]]:
        return [self._padded(ids) for ids in self._tokenizer(list(prompts), truncation=False, verbose=False)["input_ids"]]

    def _padded(self, ids: list[int]) -> tuple[Tensor, Tensor, str]:
        said = said_of(ids[1:-1], context=self.length, marks=2, control=self._control)
        kept = [*ids[: self.length - 1], ids[-1]] if len(ids) > self.length else ids
        padding = self.length - len(kept)
        mask = torch.tensor([1] * len(kept) + [0] * padding)
        return torch.tensor(kept + [self._tokenizer.pad_token_id] * padding), mask, said


def load_words(file: CardFile, *, length: int, vocabulary_size: int, marks: Sequence[str], offline: bool) -> Words:
    """The tokenizer under `weights.tokenizer`, with `marks` appended.

    Raises `WeightsError` where it knows more tokens than the network, whose table has `vocabulary_size` rows.
    """
    folder = weights_folder(file, "tokenizer", _VOCABULARY, _VOCABULARY_OF_OLD, offline=offline)
    tokenizer = import_transformers().BertTokenizer.from_pretrained(str(folder), local_files_only=True)
    tokenizer.add_tokens(list(marks), special_tokens=True)
    if len(tokenizer) > vocabulary_size:
        raise WeightsError(
            f"{file.where}: the tokenizer in {folder} has {len(tokenizer)} tokens with {', '.join(marks)}, "
            f"more than the {vocabulary_size} that the network knows: it belongs to another network"
        )
    return Words(tokenizer, length=length)
