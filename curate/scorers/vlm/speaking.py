"""Texts that a vision-language model says, token by token: the most probable ones, or sampled.

A sampled token is the one of the largest logit / temperature + g, where g is Gumbel noise of the ask's own seed: that is a sample
of the softmax (Gumbel, 1954), and it lets greedy and sampled texts share a batch. Noise is drawn on the CPU, row by row, so that
neither the batch nor the device changes a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from curate.asks import Ask, Finish
from curate.scorers.vlm.vision_language import VisionLanguage


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One text."""

    text: str
    """Without control tokens."""
    finish: Finish
    """'length' where it was cut."""
    tokens: int
    """The one that ended it included."""


def say(network: VisionLanguage, encoded: Mapping[str, Tensor], asks: Sequence[Ask], *, max_tokens: int) -> list[Said]:
    """What the model says to each of some chats, sampled as its ask says; none is longer than `max_tokens`."""
    noise = [Noise(asks)] if any(ask.temperature > 0 for ask in asks) else []
    rows = network.continuations(encoded, max_tokens=max_tokens, processors=noise).tolist()
    return [_said(network, ids, max_tokens) for ids in rows]


class Noise:
    """A processor of logits that makes the largest one a sample, in the rows whose ask has a temperature."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self._temperatures = [ask.temperature for ask in asks]
        self._generators = [torch.Generator().manual_seed(_seed(ask)) for ask in asks]

    def __call__(
        self, input_ids: Int[Tensor, "batch tokens"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """The logits of the next token with noise on them; `input_ids`, the tokens so far, change nothing."""
        noisy = scores.float().clone()
        for row, (temperature, generator) in enumerate(zip(self._temperatures, self._generators, strict=True)):
            if temperature > 0:
                waits = torch.empty(scores.shape[-1]).exponential_(generator=generator)
                noisy[row] = noisy[row] / temperature - waits.log().to(scores.device)
        return noisy


def _seed(ask: Ask) -> int:
    """Of an ask's noise: another attempt hears other noise."""
    return int.from_bytes(hashlib.sha256(f"{ask.seed}:{ask.attempt}".encode()).digest()[:8])


def _said(network: VisionLanguage, ids: Sequence[int], max_tokens: int) -> Said:
    end = next((place for place, token in enumerate(ids[:max_tokens]) if token in network.ends), None)
    spoken = ids[:max_tokens] if end is None else ids[:end]
    text = network.processor.tokenizer.decode(spoken, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Said(text=text, finish="length" if end is None else "stop", tokens=len(spoken) + (end is not None))
