"""`curate export` and `curate check`: datasets for trainers, written and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli import options
from curate.cli.selecting import finish
from curate.cli.session import session
from curate.cli.tables import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate.reports import CheckReport


def export(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="The store that the selection was made from.", show_default=False)
    ],
    selection: Annotated[
        str,
        typer.Argument(metavar="SELECTION", help="A Parquet file of filter, rank or pair.", show_default=False),
    ],
    format: Annotated[str, typer.Option("--format", metavar="F", help="Who will read it: diffusers-dpo, rankdpo, hpdv3 …")],  # noqa: A002
    out: options.Out,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Write a selection once more, for another trainer, without selecting again.

    Example: [bold]curate export ratings ranking.parquet --format rankdpo --out for-rankdpo[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        finish(api.export(store, selection, format=format, out=out), here)


def check(
    dataset: Annotated[str, typer.Argument(metavar="DATASET|STORE", help="An exported folder, or a store.", show_default=False)],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option("--format", metavar="F", help="What it should be; read from the folder where not said.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Read a dataset the way its trainer does, and report what is wrong; exit code 1 when something is.

    Of a store, whether every file of it is what was written.

    Example: [bold]curate check pairs[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        report = api.check(dataset, format=format)
        here.finish(report.as_dict(), findings(report))
        if not report.ok:
            raise typer.Exit(1)


def findings(report: CheckReport) -> list[RenderableType]:
    """How often each rule was broken, and the first place of each with what to do there."""
    if not report.counts:
        return [f"{report.dataset}: nothing wrong"]
    first: dict[str, str] = {}
    for finding in report.findings:
        first.setdefault(f"{finding.severity}: {finding.rule}", str(finding))
    shown: list[RenderableType] = [
        table("Findings", ("rule", "findings"), report.counts.items()),
        "The first of each:\n",
        *first.values(),
    ]
    total = sum(report.counts.values())
    if total > len(first):
        more = "all of them" if total == len(report.findings) else f"the first {len(report.findings):,} of {total:,}"
        shown.append(f"\n{more}: --json")
    return shown
