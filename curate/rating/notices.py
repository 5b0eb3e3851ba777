"""What a run says of its raters, once: licences that forbid commercial use, and weights that may change."""

from __future__ import annotations

from collections.abc import Sequence

from curate.cards import CardFile

UNPINNED = "unpinned"


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
