"""The networks of the cards in their true sizes, with weights that are random or missing, which change no time.

Sizes are the published ones, not compared with the weights, which are not here; where OpenCLIP or timm know an architecture by
name, theirs. Vocabularies are small ones, since looking words up costs nothing, with a token for each word that is asked;
texts that are not ours to ship are stood in for by others of their length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from curate.cards import shipped_cards
from tests.scorers import speed_encoders, speed_towers, speed_vlm
from tests.scorers.speed_files import Place
from tests.scorers.tiny.cards import Made

_MODULES = (speed_towers, speed_encoders, speed_vlm)

Maker = Callable[[Place], Made]


def maker(name: str) -> Maker | None:
    """What makes the network of a shipped card; None where its weights ship with a package, or it has none."""
    card = shipped_cards()[name].card
    for module in _MODULES:
        if name in module.BY_CARD:
            return module.BY_CARD[name]
        if card.target in module.BY_ENGINE:
            return partial(module.BY_ENGINE[card.target], card)
    return None
