"""The door for notebooks and training scripts: a scorer by the name of its card, ready to be called.

Everything else of a rater is the same; see `curate.scorers.network.NetworkRater` for its two methods.
"""

from __future__ import annotations

from curate.cards import load_card
from curate.errors import CurateError
from curate.raters import Settings, load_rater
from curate.scorers.network import NetworkRater


def scorer(name_or_path: str, device: str = "auto", batch_size: int | None = None, offline: bool = False) -> NetworkRater:
    """The rater of a card, loaded: `.score(images, prompts)` for pictures, `.score_tensor(pixels, prompts)` with gradients.

    Raises `CurateError` for a card that does not exist or has no network, `WeightsError` where its weights are not to be had.
    """
    file = load_card(name_or_path)
    if "," in device:
        raise CurateError(f"a scorer lives on one device, not on '{device}'; `curate.rate` spreads over several")
    rater = load_rater(file, Settings(device=device, batch_size=batch_size, offline=offline))
    if not isinstance(rater, NetworkRater):
        rater.close()
        raise CurateError(
            f"'{file.card.name}' has no network to be called from here; rate with it: curate.rate(…, raters='{file.card.name}')"
        )
    return rater
