"""Maps over pictures as files, made of what a judge said of their regions (SRUM, arXiv 2510.12784).

`srum-regions` scores the boxes that a record's JSON lists, and keeps the scores as its rationale; here they become weights for
each place of the picture (`curate.rubrics.measures.srum`), such as a loss is multiplied with. Heatmaps that a judge decodes with
layers of its own, as ImageDoctor does from special tokens, are in no reply and cannot be had from one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, StoreError, nearest
from curate.files import atomic_folder
from curate.records import Funnel, Rating, Status
from curate.rubrics.case import NoJudgementError
from curate.rubrics.lookup import of_meta
from curate.rubrics.measures.srum import Box, Mode, reward_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.store import SampleRow, Store
    from curate.store.lookup import Lookup
    from curate.store.unit import StoredCard


def write_maps(
    store: str | Path,
    rater: str,
    out: str | Path,
    *,
    layout: str | None = None,
    boxes: str = "regions",
    mode: Mode = "assign",
    cell: int = 1,
) -> Funnel:
    """Write one map for each sample whose regions `rater` scored, as `SAMPLE.npy` in the new folder `out`.

    A map is float16, (height, width), 0 to 1, with a number for each `cell` x `cell` pixels: 8 gives the grid of most latents.
    Borders are rounded down to cells, so that a box which is smaller than a cell may cover none.
    `layout` is the rater whose score of the whole picture, from -1 to 1, scales the map; without it none does. `boxes` is where
    the record's JSON lists the boxes [left, top, right, bottom] in pixels, as the card's messages showed them. For `mode` see
    `reward_map`. Of a name the latest card counts. The funnel says which samples have no map, and why.

    Raises `StoreError` where there is no store or no such rater, `OutputError` for a folder that is not empty.
    """
    from curate.store import Store

    if cell < 1:
        raise CurateError(f"a cell of a map has at least one pixel, not {cell}")
    funnel = Funnel(step="maps", unit="samples")
    with Store.open(store) as opened:
        regions = _card(opened, rater)
        whole = None if layout is None else _card(opened, layout)
        wanted = [card.fingerprint for card in (regions, whole) if card is not None]
        judged = (rating.sample for rating in _of_main(opened, regions))
        with opened.lookup(judged, wanted) as lookup, atomic_folder(Path(out)) as folder:
            for rating in _of_main(opened, regions):
                funnel.taken += 1
                try:
                    made = _map(rating, lookup, whole, boxes, mode, cell)
                except _NoMap as why:
                    funnel.drop(str(why))
                    continue
                _save(folder / f"{rating.sample}.npy", made)
                funnel.kept += 1
    return funnel


class _NoMap(Exception):
    """A sample has no map, and why in a few words that are the same for all such samples."""


def _card(store: Store, name: str) -> StoredCard:
    """The latest card of a name."""
    latest = {card.name: card for card in store.cards()}
    if name not in latest:
        raise StoreError(f"nothing in {store.path} is rated by '{name}'. {nearest(name, latest)}".rstrip())
    return latest[name]


def _of_main(store: Store, card: StoredCard) -> Iterator[Rating]:
    """The ratings of a card on its main dimension."""
    main = json.loads(card.text)["main"]
    return (rating for rating in store.ratings([card.fingerprint]) if rating.dimension == main)


def _map(rating: Rating, lookup: Lookup, whole: StoredCard | None, boxes: str, mode: Mode, cell: int) -> NDArray[np.float32]:
    row = next(lookup.samples([rating.sample]))
    if row is None:
        raise _NoMap("no longer in a shard")
    if row.width is None or row.height is None:
        raise _NoMap("no picture")
    scores = _scores(rating)
    found = [_scaled(box, cell) for box in _boxes(row, boxes)]
    if len(found) != len(scores):
        raise _NoMap("not one score for each box")
    layout = 1.0 if whole is None else _layout(lookup, rating.sample, whole)
    width, height = math.ceil(row.width / cell), math.ceil(row.height / cell)
    return reward_map(found, scores, layout=layout, width=width, height=height, mode=mode)


def _scores(rating: Rating) -> list[float]:
    """The scores of the regions in the order of their numbers, from what the format `srum-regions` keeps."""
    if rating.status is not Status.OK:
        raise _NoMap(str(rating.status))
    try:
        listed = sorted((one["region"], one["score"]) for one in json.loads(rating.rationale or ""))
        scores = [float(score) for _, score in listed]
    except (ValueError, TypeError, KeyError):  # a rationale of another rater, or one that was too long to be kept whole
        raise _NoMap("no scores of regions in the rationale") from None
    if [number for number, _ in listed] != list(range(1, len(listed) + 1)) or not all(-1 <= score <= 1 for score in scores):
        raise _NoMap("no scores of regions in the rationale")
    return scores


def _boxes(row: SampleRow, path: str) -> list[Box]:
    """The boxes that a record's JSON lists."""
    try:
        listed = of_meta(row.sample.meta, path)
    except NoJudgementError:
        raise _NoMap(f"no '{path}' in the record's JSON") from None
    if not isinstance(listed, list) or not all(map(_is_box, listed)):
        raise _NoMap(f"'{path}' is no list of boxes")
    return [(left, top, right, bottom) for left, top, right, bottom in listed]


def _is_box(given: Any) -> bool:
    if not isinstance(given, list) or len(given) != 4:
        return False
    return all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in given)


def _scaled(box: Box, cell: int) -> Box:
    left, top, right, bottom = (border / cell for border in box)
    return (left, top, right, bottom)


def _layout(lookup: Lookup, sample: str, card: StoredCard) -> float:
    """What another rater says of the whole picture."""
    main = json.loads(card.text)["main"]
    of_card: Mapping[str, Rating] = {
        one.dimension: one for one in lookup.ratings([sample]).get(sample, ()) if one.card == card.fingerprint
    }
    if main not in of_card:
        raise _NoMap(f"{card.name}: not rated")
    rating = of_card[main]
    if rating.value is None:
        raise _NoMap(f"{card.name}: {rating.status}")
    if not -1 <= rating.value <= 1:
        raise _NoMap(f"{card.name}: not between -1 and 1")
    return rating.value


def _save(path: Path, made: NDArray[np.float32]) -> None:
    import numpy as np

    np.save(path, made.astype(np.float16), allow_pickle=False)
