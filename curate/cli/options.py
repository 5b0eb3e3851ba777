"""Options that several commands share, spelled once."""

from __future__ import annotations

from typing import Annotated

import typer

_OUTPUT = "Output of the command"
_RATING = "Rating first, when SHARDS stand for STORE"
_SELECTING = "Which samples take part"

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on the way.", rich_help_panel=_OUTPUT)]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.", rich_help_panel=_OUTPUT)
]
Log = Annotated[
    str | None,
    typer.Option("--log", metavar="FILE", help="Append a log with times to FILE.", show_default=False, rich_help_panel=_OUTPUT),
]

Source = Annotated[
    list[str],
    typer.Argument(metavar="STORE", help="A folder that `curate rate` made; or SHARDS, with --rater.", show_default=False),
]
Shards = Annotated[
    list[str],
    typer.Argument(metavar="SHARDS...", help="Paths, globs, brace patterns ('{000..999}.tar') or URLs.", show_default=False),
]

Raters = Annotated[
    list[str],
    typer.Option("--rater", metavar="CARD", help="A rater: a name (see `curate raters`) or a YAML card; repeat for several."),
]
RatersFirst = Annotated[
    list[str] | None,
    typer.Option(
        "--rater",
        metavar="CARD",
        help="Rate the shards with this card; repeat for several.",
        show_default=False,
        rich_help_panel=_RATING,
    ),
]
StoreFirst = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Keep the ratings in DIR; in .curate/ where not said.",
        show_default=False,
        rich_help_panel=_RATING,
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout", metavar="NAME|FILE", help="What the members of a shard mean; guessed where not said.", show_default=False
    ),
]
LayoutFirst = Annotated[
    str | None,
    typer.Option(
        "--layout", metavar="NAME|FILE", help="What the members of a shard mean.", show_default=False, rich_help_panel=_RATING
    ),
]

By = Annotated[
    str, typer.Option("--by", metavar="EXPR", help="What is better: an expression over raters and fields; larger is better.")
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Only samples for which this holds, such as 'width >= 512'.",
        show_default=False,
        rich_help_panel=_SELECTING,
    ),
]
Tie = Annotated[
    float, typer.Option("--tie", metavar="X", help="Values no further apart than X are a tie.", rich_help_panel=_SELECTING)
]
Out = Annotated[str, typer.Option("--out", metavar="DIR", help="The folder to write; it must be new or empty.")]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="Memory for the query, such as 4GB; the rest goes to disk.", show_default=False
    ),
]
