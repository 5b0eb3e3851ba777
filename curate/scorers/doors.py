"""The door for notebooks and training scripts: a scorer by the name of its card, ready to be called.

Everything else of a rater is the same; see `curate.scorers.network.NetworkRater` for its two methods. Raters that need no torch
come through this door without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from curate.batch_raters import BatchRater
from curate.cards import load_card
from curate.errors import CurateError
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.scorers.scoring import PictureScorer
from curate.scorers.sharing import apart_from_the_caller

if TYPE_CHECKING:
    from curate.scorers.network import NetworkRater


def scorer(
    name_or_path: str, *, device: str = "auto", batch_size: int | None = None, offline: bool = False, trust: bool = False
) -> NetworkRater | PictureScorer:
    """The rater of a card, loaded: `.score(images, prompts)` for pictures, `.score_tensor(pixels, prompts)` with gradients.

    `trust` lets a card of one's own name an engine outside curate. Raises `CurateError` for a card that does not exist, or whose
    rater does not judge pictures one by one in this process, `WeightsError` where its weights are not to be had.
    """
    file = load_card(name_or_path)
    if "," in device:
        raise CurateError(f"a scorer lives on one device, not on '{device}'; `curate.rate` spreads over several")
    with apart_from_the_caller():
        rater = load_rater(file, Settings(device=device, batch_size=batch_size, offline=offline, trust=trust))
    if hasattr(rater, "score_tensor"):
        return cast("NetworkRater", rater)  # its class is not named here, since it brings torch along
    if isinstance(rater, BatchRater) and file.card.judges == "samples" and not rater.wants_bytes:
        return PictureScorer(file.card, rater)
    rater.close()
    raise CurateError(
        f"'{file.card.name}' cannot be called from here, since it does not judge pictures one by one in this process; rate with "
        f"it: curate.rate(…, raters='{file.card.name}')"
    )
