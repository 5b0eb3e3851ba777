"""The commands, grouped as a person would look for them."""

from __future__ import annotations

from typing import Annotated

import typer

from curate.cli import datasets, demo, judging, looking, raters, selecting
from curate.version import __version__

JUDGE = "Judge: expensive, done once, kept"
SELECT = "Select: a query over what was judged, as often as you like"
DATASETS = "Datasets"
LOOK = "Look"

app = typer.Typer(
    name="curate",
    help="Shards of images, edits, videos and captions in; ratings kept; preference datasets out.\n\n"
    "First look: [bold]curate demo[/bold]. Then: [bold]curate rate[/bold] once, and [bold]filter[/bold], [bold]rank[/bold] and "
    "[bold]pair[/bold] as often as you like.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"curate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of `curate` itself; every command has its own."""


app.command(rich_help_panel=JUDGE)(judging.rate)
app.add_typer(raters.app, name="raters", rich_help_panel=JUDGE)
app.command("filter", rich_help_panel=SELECT)(selecting.filter_)
app.command(rich_help_panel=SELECT)(selecting.rank)
app.command(rich_help_panel=SELECT)(selecting.pair)
app.command(rich_help_panel=DATASETS)(datasets.export)
app.command(rich_help_panel=DATASETS)(datasets.check)
app.command(rich_help_panel=LOOK)(looking.show)
app.command(rich_help_panel=LOOK)(demo.demo)
