"""What a run would ask of judges that cost something, with nothing asked and nothing kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from curate.cards import JUDGES, load_card
from curate.errors import CurateError
from curate.rating.options import RateOptions
from curate.rating.report import RateReport
from curate.rating.run import rate_into
from curate.scratch import scratch_folder
from curate.store import Store
from curate.store.copying import copy_store
from curate.store.replies import FILE as REPLIES


def estimate_into(store: Path | None, shards: Sequence[str], raters: Sequence[str], options: RateOptions) -> RateReport:
    """The report of a run that asks nothing, over a copy of the store; see `RateReport.told`.

    Raises `CurateError` where no rater asks anything, and what a run raises.
    """
    judges = [spec for spec in raters if load_card(spec).card.target.startswith(JUDGES)]
    if not judges:
        raise CurateError("none of these raters asks a vision-language model, so there is nothing to estimate")
    replies = None if store is None else store / REPLIES
    known = replies if replies is not None and replies.exists() else None
    options = replace(options, settings=replace(options.settings, estimate=True, replies=known))
    beside = store.parent if store is not None and store.exists() else None
    with scratch_folder(beside) as scratch:
        folder = scratch / "store"
        if store is not None and store.exists():
            copy_store(store, folder)
        with Store.create_or_open(folder) as copy:
            report = rate_into(copy, shards, judges, options)
    report.store = "" if store is None else str(store)
    return report
