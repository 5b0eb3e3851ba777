"""What a run says of its raters, once: licences, weights that may change, what they said beside values, and how they failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from curate.cards import CardFile
from curate.records import Status

UNPINNED = "unpinned"

MOST_NOTES = 5
"""Of one rater."""


def notices_of(files: Sequence[CardFile]) -> list[str]:
    """A sentence for the raters whose licence forbids commercial use, and one for those with weights of no fixed revision."""
    cards = [file.card for file in files]
    forbidden = [f"{card.name} ({card.licence})" for card in cards if card.commercial is False]
    loose = [card.name for card in cards if any(one.hub and one.revision == UNPINNED for one in card.weights.values())]
    notices = []
    if forbidden:
        notices.append(f"not for commercial use, by the licence of the rater: {', '.join(forbidden)}")
    if loose:
        notices.append(f"the weights are unpinned, so another day may bring other ratings: {', '.join(loose)}")
    return notices


def said_beside(notes: Mapping[str, Counter[str]], *, of: str = "samples") -> list[str]:
    """A sentence for each thing that a rater said beside values that stand, with the number of samples, or of what `of` says."""
    return [f"{name}, of {count:,} {of}: {note}" for name, said in notes.items() for note, count in said.most_common(MOST_NOTES)]


def examples_of(examples: Mapping[tuple[str, Status], str]) -> list[str]:
    """A sentence for each way in which a rater failed, with the first sample that did."""
    return [f"{name} {status}, for example {example}" for (name, status), example in examples.items()]
