"""`curate rate`, and the rating that goes ahead of a selection when shards are named instead of a store."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from curate.cli import looking, options
from curate.cli.display import Display, duration
from curate.cli.serving import prices_of, serving_of
from curate.cli.session import Session, session, stoppable
from curate.cli.tables import estimate_table, funnel_table, number_of, reasons_table, status_table, told_table
from curate.errors import CurateError, StoreError
from curate.showing import names_shards, show_health

if TYPE_CHECKING:
    from rich.table import Table

    from curate.rating.report import RateReport
    from curate.showing import Shown


def rate(
    shards: options.Shards,
    rater: options.Raters,
    store: options.Store,
    layout: options.Layout = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    readers: options.Readers = 1,
    seconds_per_sample: options.SecondsPerSample = None,
    batch_size: options.BatchSize = None,
    offline: options.Offline = False,
    trust: options.Trust = False,
    max_failures: options.MaxFailures = None,
    retry: options.Retry = None,
    server: options.Server = None,
    model: options.Model = None,
    key_from: options.KeyVariable = None,
    concurrency: options.Concurrency = 64,
    budget: options.Budget = None,
    budget_tokens: options.BudgetTokens = None,
    canary: options.Canary = True,
    dry_run: options.DryRun = False,
    price: options.Price = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Judge every sample of the shards, once, and keep the ratings in a store.

    Run it again after a kill, with more shards or with another rater: only what is missing is computed.

    Examples:

    [bold]curate rate 'shards/{000..127}.tar' --rater signal --rater pickscore --store ratings[/bold]

    [bold]curate rate 'shards/*.tar' --rater vqa-yes --server http://127.0.0.1:8000/v1 --store ratings[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log, store=None if dry_run else store) as here:
        from curate import api

        serving = serving_of(
            server,
            model=model,
            key_from=key_from,
            concurrency=concurrency,
            budget=budget,
            budget_tokens=budget_tokens,
            canary=canary,
        )
        prices = prices_of(price, dry_run=dry_run)
        if dry_run:
            with Display(here.err, quiet=quiet) as display:
                report = api.estimate(
                    shards, raters=rater, store=store, layout=layout, workers=workers, serving=serving, on_progress=display
                )
            _warn(report, here)
            here.finish(report.as_dict(), [estimate_table(report.told, prices)])
            return
        with stoppable(), Display(here.err, quiet=quiet) as display:
            report = api.rate(
                shards,
                raters=rater,
                store=store,
                layout=layout,
                device=device,
                workers=workers,
                readers=readers,
                seconds_per_sample=seconds_per_sample,
                batch_size=batch_size,
                max_failures=max_failures,
                retry=retry or (),
                trust=trust,
                offline=offline,
                serving=serving,
                on_progress=display,
            )
        _say(report, here)
        health = _health(report)
        here.finish({**report.as_dict(), "health": health.as_dict()}, [*tables(report), *looking.tables(health)])
        here.wanting = not report.ok


def tables(report: RateReport) -> list[Table]:
    """The end of a run: statuses, what became of it, and if there is any, why ratings have no value and what was asked."""
    reasons = [reasons_table(report.reasons)] if report.reasons else []
    asked = [told_table(report.told)] if report.told else []
    statuses = [status_table(report.statuses)] if report.statuses else []
    return [*statuses, funnel_table(report.funnels), *reasons, *asked]


def _health(report: RateReport) -> Shown:
    """How the judges do that were asked in this run; nothing where none was, since it is read from whole tables of the store."""
    return show_health(report.store, {rater for rater, numbers in report.told.items() if any(numbers.values())})


def store_of(source: Sequence[str], raters: Sequence[str], store: str | None, layout: str | None, here: Session) -> str:
    """The store that `source` names; where it names shards, the store in which they are now rated."""
    if not raters:
        if store is not None:
            raise CurateError("--store says where to rate shards, and needs --rater; to read a store, name it alone")
        if len(source) > 1:
            raise StoreError(f"{len(source)} names where one store goes; to rate shards first, say with which --rater")
        if names_shards(source[0]):
            raise StoreError(f"{source[0]} is no store; to rate shards first, say with which --rater, such as --rater signal")
        return source[0]
    from curate import api

    store = store or default_store(source)
    here.tell(f"rating first what is not yet rated, in {store}")
    with Display(here.err, quiet=here.quiet) as display:
        serving = serving_of(os.environ.get("CURATE_SERVER"), model=os.environ.get("CURATE_MODEL"))
        report = api.rate(source, raters=raters, store=store, layout=layout, serving=serving, on_progress=display)
    _say(report, here)
    here.wanting = not report.ok
    return store


def default_store(shards: Sequence[str]) -> str:
    """A folder in .curate/ that the same names of shards, said in the same place, always lead to."""
    names = "\0".join([str(Path.cwd()), *shards])
    words = re.findall(r"[A-Za-z0-9]+", shards[0].rpartition("://")[2].removesuffix(".tar"))
    return f".curate/{'-'.join(words)[-40:].strip('-') or 'shards'}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"


def _warn(report: RateReport, here: Session) -> None:
    """What the user has to know of a run."""
    for notice in report.notices:
        here.warn(notice)
    for shard, reason in report.unreadable.items():
        here.warn(f"not read: {reason}" if shard in reason else f"not read: {shard}: {reason}")
    for shard in report.cut:
        here.warn(f"cut short: {shard}; what was whole in it is kept")


def _say(report: RateReport, here: Session) -> None:
    """What a run did, in a line, and what the user has to know of it."""
    _warn(report, here)
    done = [f"computed {number_of(report.computed, 'rating')} of {number_of(report.samples, 'sample')}"] if report.raters else []
    done += [f"compared {number_of(report.comparisons, 'pair')}"] if report.compared else []
    shards = f"{number_of(report.shards, 'shard')}, {report.unchanged:,} unchanged"
    here.tell(f"{' and '.join(done)} in {duration(report.seconds)} ({shards})")
    for name in report.useless:
        reasons = ", ".join(f"{status} {count:,}" for status, count in sorted(report.statuses[name].items()))
        here.warn(f"{name} has a value for none of {number_of(report.samples, 'sample')}: {reasons}")
    if report.pending:
        here.tell(f"{report.pending:,} are pending: the same command asks for them again")
