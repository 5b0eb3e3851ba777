"""`curate filter`, `curate rank`, `curate pair`: queries over what was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli import options
from curate.cli.judging import store_of
from curate.cli.session import Session, session
from curate.cli.tables import funnel_table

if TYPE_CHECKING:
    from curate.api import ExportReport

_KEEP = "What is kept"
_PAIRS = "Which pairs"
_VOTES = "Several raters"


def filter_(
    source: options.Source,
    out: options.Out,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="EXPR",
            help="Samples for which this holds, such as 'signal > 0.4 and width >= 512'.",
            show_default=False,
            rich_help_panel=_KEEP,
        ),
    ] = None,
    top: Annotated[
        str | None,
        typer.Option(
            "--top", metavar="N|P%", help="The best N, or P percent, by --by.", show_default=False, rich_help_panel=_KEEP
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="EXPR", help="What is better, for --top; larger is better.", show_default=False, rich_help_panel=_KEEP
        ),
    ] = None,
    per: Annotated[
        str | None,
        typer.Option(
            "--per",
            metavar="FIELD",
            help="--top for each value of this field, such as group.",
            show_default=False,
            rich_help_panel=_KEEP,
        ),
    ] = None,
    format: Annotated[str, typer.Option("--format", metavar="F", help="shards, parquet or ids.")] = "shards",  # noqa: A002
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
    out: Annotated[
        str, typer.Option("--out", metavar="FILE|DIR", help="The Parquet file of the ranking; with --format, a new folder.")
    ],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option("--format", metavar="F", help="Write a dataset instead: rankdpo, imagereward …", show_default=False),
    ] = None,
    where: options.Where = None,
    tie: options.Tie = 0.0,
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
        finish(api.rank(place, by=by, where=where, tie=tie, format=format, memory=memory, out=out), here)


def pair(
    source: options.Source,
    by: options.By,
    out: options.Out,
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", metavar="F", help="Who will read it: diffusers-dpo, hpdv2, hpdv3, win-lose-folders …")
    ] = "diffusers-dpo",
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="best-worst, adjacent, top-vs-rest or all.", rich_help_panel=_PAIRS)
    ] = "best-worst",
    min_margin: Annotated[
        str,
        typer.Option(
            "--min-margin",
            metavar="X",
            help="The least by which chosen is better, in units of --by; '0.5sd' in those of its spread within the group.",
            rich_help_panel=_PAIRS,
        ),
    ] = "0",
    tie: options.Tie = 0.0,
    ties: Annotated[
        str,
        typer.Option(
            "--ties", metavar="drop|keep", help="What becomes of ties; kept, they have margin 0.", rich_help_panel=_PAIRS
        ),
    ] = "drop",
    max_per_group: Annotated[
        int | None,
        typer.Option("--max-per-group", min=1, help="The most pairs of a group.", show_default=False, rich_help_panel=_PAIRS),
    ] = None,
    max_per_sample: Annotated[
        int | None,
        typer.Option(
            "--max-per-sample", min=1, help="The most pairs one sample is in.", show_default=False, rich_help_panel=_PAIRS
        ),
    ] = None,
    where: options.Where = None,
    agree: Annotated[
        list[str] | None,
        typer.Option(
            "--agree",
            metavar="EXPR",
            help="Another opinion that must not contradict; repeat for several.",
            show_default=False,
            rich_help_panel=_VOTES,
        ),
    ] = None,
    at_least: Annotated[
        int | None,
        typer.Option(
            "--at-least",
            metavar="N",
            help="How many of the opinions must agree; all where not said.",
            show_default=False,
            rich_help_panel=_VOTES,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME=SHARE,…", help="Share groups out, such as train=0.95,test=0.05.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides what is left to chance.")] = 0,
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
