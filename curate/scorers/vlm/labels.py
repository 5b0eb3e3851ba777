"""What a language model is about to say, read at the exact tokens of a closed set of labels.

One forced token is read as a distribution instead of a generated text: there is nothing to parse, nothing to sample, and the
probability of the whole set (`p_mass`) says whether the model wanted to answer in these words at all.

    full              sum of value * P(label), over the whole vocabulary             VQAScore: P("Yes")
    renormalised      the same, divided by the probability of all labels             expected level, P(yes) / (P(yes) + P(no))
    averaged_logits   softmax over the mean logit of each label's spellings          Forensic-Chat; no probability of either word
    logodds           log P(first label) - log P(second label)                       NP-Edit; without bounds, for losses

Papers: Lin et al., Evaluating Text-to-Visual Generation with Image-to-Text Generation, 2024 (VQAScore); Wu et al., Q-Align,
2023 (level words); Ye et al., RealGen, 2025 (Forensic-Chat); Kumari et al., Learning an Image Editing Model without Image
Editing Pairs, 2025 (NP-Edit).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.asks import Label as AskedLabel
from curate.errors import CardError
from curate.scorers.arguments import Arguments

Reading = Literal["full", "renormalised", "averaged_logits", "logodds"]


class Label(Arguments):
    """One answer, in all its spellings, and what it is worth."""

    value: float
    tokens: tuple[str, ...] = Field(min_length=1)
    """Spellings, blanks in front included; each has to be one token of the vocabulary."""


class LabelReader:
    """Reads labels off the logits of the next token."""

    def __init__(self, ids: Sequence[Sequence[int]], values: Sequence[float], reading: Reading) -> None:
        """`ids` are those of each label's spellings, `values` what each label is worth, which is nothing for log-odds: they are
        of two labels, the first against the second."""
        self._ids = [list(one) for one in ids]
        self._values = list(values)
        self._reading = reading

    def read(self, logits: Float[Tensor, "batch vocabulary"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """The value of each row, and the probability of all labels together; float32, differentiable in the logits."""
        logits = logits.float()
        logs = logits.log_softmax(dim=-1)
        # Sums of probabilities are taken as logarithms: the set may be so improbable that they would round to 0 / 0.
        labels = torch.stack([logs[:, ids].logsumexp(dim=-1) for ids in self._ids], dim=-1)
        return self._value(logits, labels), labels.exp().sum(dim=-1)

    def _value(self, logits: Float[Tensor, "batch vocabulary"], labels: Float[Tensor, "batch labels"]) -> Float[Tensor, " batch"]:
        """`labels` are the logarithms of their probabilities."""
        if self._reading == "logodds":
            # Of the logits themselves: what all probabilities are divided by takes no part, nor do its rounding and gradient.
            first, second = (logits[:, ids].logsumexp(dim=-1) for ids in self._ids)
            return first - second
        if self._reading == "averaged_logits":
            shares = torch.stack([logits[:, ids].mean(dim=-1) for ids in self._ids], dim=-1).softmax(dim=-1)
        else:
            shares = labels.exp() if self._reading == "full" else labels.softmax(dim=-1)
        return shares @ torch.tensor(self._values, dtype=shares.dtype, device=shares.device)


def label_reader(
    labels: Sequence[Label], reading: Reading, *, tokenise: Callable[[str], Sequence[int]], before: str, where: str
) -> LabelReader:
    """A reader of labels that follow the text `before`, as the tokenizer sees them there.

    Raises `CardError`, which names the label, for a spelling that is not exactly one more token behind that text, and for one
    that two labels or two spellings share.
    """
    owners: dict[int, str] = {}
    ids = []
    for label in labels:
        ids.append([_single(spelling, before, tokenise, where) for spelling in label.tokens])
        for spelling, token in zip(label.tokens, ids[-1], strict=True):
            _own(token, spelling, owners, where)
    return LabelReader(ids, [label.value for label in labels], reading)


def label_tokens(
    labels: Sequence[AskedLabel], *, tokenise: Callable[[str], Sequence[int]], before: str, where: str
) -> dict[str, dict[str, tuple[int, ...]]]:
    """Which tokens labels are behind the text `before`: for each label by spelling, one token or several.

    A spelling that melts into that text is left out, as is one that is the same tokens as an earlier one of its label. Raises
    `CardError` for a label of which no spelling is one token, and for one that is, or begins with, the token of another label.
    """
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    owners: dict[int, tuple[str, str]] = {}
    for label in labels:
        found[label.name] = _spelt(label, before, tokenise, where)
        for spelling, tokens in found[label.name].items():
            if len(tokens) == 1:
                _own(tokens[0], spelling, {token: said for token, (_, said) in owners.items()}, where)
                owners[tokens[0]] = label.name, spelling
    for name, spellings in found.items():
        for spelling, (token, *_) in spellings.items():
            owner, said = owners.get(token, (name, spelling))
            if owner != name:
                raise CardError(
                    f"{where}: the label '{spelling}' begins with the token of '{said}', so they cannot be told apart"
                )
    return found


def _spelt(label: AskedLabel, before: str, tokenise: Callable[[str], Sequence[int]], where: str) -> dict[str, tuple[int, ...]]:
    """The tokens of each spelling; see `label_tokens`."""
    found: dict[str, tuple[int, ...]] = {}
    problems = []
    for spelling in label.spellings:
        try:
            tokens = _behind(spelling, before, tokenise, where)
        except CardError as melts:
            problems.append(melts)
            continue
        if len(tokens) != 1:
            problems.append(_not_one(spelling, tokens, where))
        if tokens and tokens not in found.values():
            found[spelling] = tokens
    if not any(len(tokens) == 1 for tokens in found.values()):
        raise problems[0] if problems else CardError(f"{where}: the label '{label.name}' has no spelling")
    return found


def _own(token: int, spelling: str, owners: dict[int, str], where: str) -> None:
    if token in owners:
        raise CardError(f"{where}: the labels '{owners[token]}' and '{spelling}' are the same token {token}")
    owners[token] = spelling


def _single(spelling: str, before: str, tokenise: Callable[[str], Sequence[int]], where: str) -> int:
    tokens = _behind(spelling, before, tokenise, where)
    if len(tokens) != 1:
        raise _not_one(spelling, tokens, where)
    return tokens[0]


def _behind(spelling: str, before: str, tokenise: Callable[[str], Sequence[int]], where: str) -> tuple[int, ...]:
    """The tokens that a spelling adds to the text `before`."""
    prefix, whole = list(tokenise(before)), list(tokenise(before + spelling))
    if whole[: len(prefix)] != prefix:
        raise CardError(f"{where}: the label '{spelling}' melts into the text before it, so its probability cannot be read")
    return tuple(whole[len(prefix) :])


def _not_one(spelling: str, tokens: Sequence[int], where: str) -> CardError:
    return CardError(f"{where}: the label '{spelling}' is {len(tokens)} tokens of this model; it has to be one")


def penalised(
    logits: Float[Tensor, "batch vocabulary"], said: Float[Tensor, "batch vocabulary"], penalty: float
) -> Float[Tensor, "batch vocabulary"]:
    """Logits with those of tokens already said made less likely, as `generate` of transformers does by a repetition penalty.

    `said` is true where the text holds the token. Positive logits are divided by the penalty, negative ones multiplied with it.
    """
    return torch.where(said, torch.where(logits > 0, logits / penalty, logits * penalty), logits)
