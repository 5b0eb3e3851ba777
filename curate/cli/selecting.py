"""`curate filter`, `curate rank`, `curate pair`: queries over what was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.cli import options
from curate.cli.judging import store_of
from curate.cli.session import Session, session
from curate.cli.tables import funnel_table

if TYPE_CHECKING:
    from curate.reports import ExportReport


def filter_(
    source: options.Source,
    out: options.Out,
    where: options.Keep = None,
    top: options.Top = None,
    by: options.TopBy = None,
    per: options.Per = None,
    format: options.SamplesFormat = "shards",  # noqa: A002
    memory: options.Memory = None,
    rater: options.RatersFirst = None,
    store: options.StoreFirst = None,
    layout: options.LayoutFirst = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Keep the samples for which an expression holds, or the best of them, with their original bytes and side files.

    Example: [bold]curate filter ratings --where 'signal > 0.4' --top 50% --by signal --per group --out kept[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        place = store_of(source, rater or (), store, layout, here)
        finish(api.filter(place, where=where, top=top, by=by, per=per, out=out, format=format, memory=memory), here)


def rank(
    source: options.Source,
    by: options.By,
    out: options.RankingOut,
    format: options.RankingFormat = None,  # noqa: A002
    where: options.Where = None,
    tie: options.Tie = 0.0,
    wins: options.Wins = None,
    split: options.Split = None,
    seed: options.Seed = 0,
    memory: options.Memory = None,
    rater: options.RatersFirst = None,
    store: options.StoreFirst = None,
    layout: options.LayoutFirst = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Put every group in order, best first; equal values share a rank.

    Example: [bold]curate rank ratings --by 'z(signal) + z(pickscore)' --out ranking.parquet[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        place = store_of(source, rater or (), store, layout, here)
        report = api.rank(
            place,
            by=by,
            where=where,
            tie=tie,
            wins=wins or (),
            split=split,
            seed=seed,
            format=format,
            memory=memory,
            out=out,
        )
        finish(report, here)


def pair(
    source: options.Source,
    by: options.By,
    out: options.Out,
    format: options.PairsFormat = "diffusers-dpo",  # noqa: A002
    strategy: options.Strategy = "best-worst",
    min_margin: options.MinMargin = "0",
    tie: options.Tie = 0.0,
    ties: options.Ties = "drop",
    max_per_group: options.MaxPerGroup = None,
    max_per_sample: options.MaxPerSample = None,
    prefer: options.Prefer = "margin",
    where: options.Where = None,
    agree: options.Agree = None,
    at_least: options.AtLeast = None,
    split: options.Split = None,
    seed: options.Seed = 0,
    memory: options.Memory = None,
    rater: options.RatersFirst = None,
    store: options.StoreFirst = None,
    layout: options.LayoutFirst = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Pair a better with a worse response to the same request, and write the pairs for a trainer.

    Example: [bold]curate pair ratings --by signal --min-margin 0.1 --format diffusers-dpo --out pairs[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        report = api.pair(
            store_of(source, rater or (), store, layout, here),
            by=by,
            strategy=strategy,
            min_margin=min_margin,
            where=where,
            tie=tie,
            ties=ties,
            agree=agree or (),
            at_least=at_least,
            max_per_group=max_per_group,
            max_per_sample=max_per_sample,
            prefer=prefer,
            split=split,
            seed=seed,
            format=format,
            out=out,
            memory=memory,
        )
        finish(report, here)


def finish(report: ExportReport, here: Session) -> None:
    """Print what became of the samples, and where the result lies."""
    for warning in report.warnings:
        here.warn(warning)
    here.finish(report.as_dict(), [funnel_table(report.funnels)])
    here.tell(f"written to {report.out}")
