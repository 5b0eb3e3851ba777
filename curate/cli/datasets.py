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

    from curate.api import CheckReport
    from curate.checking import Finding


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
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="An exported folder.", show_default=False)],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option("--format", metavar="F", help="What it should be; read from the folder where not said.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Read a dataset the way its trainer does, and report what is wrong; exit code 1 when something is.

    Example: [bold]curate check pairs[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        report = api.check(dataset, format=format)
        here.finish(report.as_dict(), _findings(report))
        if not report.ok:
            raise typer.Exit(1)


def _findings(report: CheckReport) -> list[RenderableType]:
    """What was found, one row a rule, with the first place and what to do there."""
    if not report.counts:
        return [f"{report.dataset}: nothing wrong"]
    first: dict[str, Finding] = {}
    for one in report.findings:
        first.setdefault(f"{one.severity}: {one.rule}", one)
    rows = [(name, count, *_told(first.get(name))) for name, count in report.counts.items()]
    return [table("Findings", ("rule", "rows", "first", "what", "what to do"), rows)]


def _told(finding: Finding | None) -> tuple[str | None, str | None, str | None]:
    """Place, message and remedy; nothing for a rule whose findings all came after those that were kept."""
    if finding is None:
        return None, None, None
    place = finding.file or "the folder"
    return place if finding.row is None else f"{place}, row {finding.row}", finding.message, finding.fix
