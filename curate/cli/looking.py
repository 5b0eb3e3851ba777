"""`curate show`: what was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli import options
from curate.cli.session import session
from curate.cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table

    from curate.showing import Shown


def show(
    path: Annotated[str, typer.Argument(metavar="STORE|DATASET", help="A store or an exported folder.", show_default=False)],
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Show what is in a store or a dataset: counts, statuses, distributions, agreement.

    Example: [bold]curate show ratings[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        shown = api.show(path)
        here.finish(shown.as_dict(), tables(shown))


def tables(shown: Shown) -> list[Table]:
    """What was found, for people."""
    return [table(one.title, one.columns, one.rows) for one in shown.tables]
