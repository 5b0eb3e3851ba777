"""Pairs: of the samples of a group, which one is better than which other, by how much, and who agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from curate.errors import Option
from curate.records import Funnel, View
from curate.select.expression import parse
from curate.select.options import Limits, PairOptions
from curate.select.output import write_result
from curate.select.pair_batches import REPEATED, Pairing, pair_schema
from curate.select.run import engine_for, how_made, parse_by, parse_where
from curate.select.samples import Samples
from curate.select.strategies import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs on disk."""

    path: Path
    """Parquet with the columns of `pair_schema`, ordered by group, then by the better and by the worse sample's place."""
    rows: int
    funnels: list[Funnel]
    """Of samples, of groups, and of candidate pairs."""


def pair(
    view: View,
    *,
    by: str,
    out: str | Path,
    where: str | None = None,
    strategy: Strategy = "best-worst",
    min_margin: str | float = "0",
    tie: float = 0.0,
    ties: Literal["drop", "keep"] = "drop",
    agree: Sequence[str] = (),
    at_least: int | None = None,
    max_per_group: int | None = None,
    max_per_sample: int | None = None,
    prefer: Literal["margin", "random"] = "margin",
    seed: int = 0,
    split: str | Mapping[str, float] | None = None,
    memory: str | int = "2GB",
    threads: int | None = None,
    timeout: float | None = None,
) -> Pairs:
    """Pair a better with a worse sample of the same group, for all groups of a view, and write the pairs as Parquet.

    `by` says what is better, `where` which samples take part. A pair is kept when its margin is larger than `tie` and not
    below `min_margin` (`0.5` in units of `by`, `0.5sd` in standard deviations of the group), when `at_least` of the
    expressions in `agree` put the chosen strictly above the rejected (all of them, where not said), and when the two are
    not the same image. `ties="keep"` keeps ties as pairs of margin 0. Of what is left, a group keeps at most `max_per_group`
    pairs with at most `max_per_sample` of one sample: those of the largest margin, or random ones where `prefer` says so.
    `split`, such as `test=5%`, shares prompts out by their hash; the rest is `train`.

    Samples without a rating take no part. `memory`, `threads` and `timeout` (seconds) change no result: the file's bytes are
    the same. Raises `ExpressionError` for `by`, `where` and `agree`, `CurateError` for other options, `OutputError` where
    `out` cannot be written.
    """
    options = PairOptions(
        strategy=strategy,
        min_margin=min_margin,
        tie=tie,
        ties=ties,
        agree=agree,
        at_least=at_least,
        max_per_group=max_per_group,
        max_per_sample=max_per_sample,
        prefer=prefer,
        seed=seed,
        split=split,
    )
    limits = Limits(memory=memory, threads=threads, timeout=timeout)
    samples = Samples(view=view, where=parse_where(where, view), by=parse_by(by, view))
    opinions = [parse(text, view, what=Option(f"agree[{number}]"), lenient=True) for number, text in enumerate(agree)]
    pairing = Pairing(samples, opinions, options)
    asked = {"by": by, "where": where, **options.as_asked()}
    out = Path(out)
    with engine_for(view, out, limits) as engine:
        made = partial(how_made, "pair", view, asked, [samples.where, samples.by, *opinions], pairing.funnels)
        rows = write_result(out, pair_schema(strategy), pairing.batches(engine), made, repeated=REPEATED[strategy])
    return Pairs(path=out, rows=rows, funnels=pairing.funnels)
