"""The options of the commands that judge and select; those that several commands share are spelled once."""

from __future__ import annotations

from typing import Annotated

import typer

_OUTPUT = "Output of the command"
_RATING = "Rating first, when SHARDS stand for STORE"
_SELECTING = "Which samples take part"
_KEEP = "What is kept"
_PAIRS = "Which pairs"
_VOTES = "Several raters"
_RUN = "How it runs"
_FAILURES = "Failures"
_SERVER = "Vision-language judges"

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
    typer.Option(
        "--rater",
        metavar="[NAME=]CARD",
        help="A rater: a name (see `curate raters`) or a YAML card, as NAME where that is said; repeat for several.",
    ),
]
RatersFirst = Annotated[
    list[str] | None,
    typer.Option(
        "--rater",
        metavar="[NAME=]CARD",
        help="Rate the shards with this card, as NAME where that is said; repeat for several.",
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
Wins = Annotated[
    list[str] | None,
    typer.Option(
        "--wins",
        metavar="EXPR",
        help="A judge whose pairwise wins count for RankDPO's φ; repeat for several. The ranks by --by where not said.",
        show_default=False,
    ),
]


def _no_pipe(place: str) -> str:
    """Elsewhere '-' stands for a pipe; taken for a name here, it would leave a file that is hard to remove."""
    if place == "-":
        raise typer.BadParameter("a result is written as a whole, so not into a pipe; name a file or a folder")
    return place


Out = Annotated[
    str, typer.Option("--out", metavar="DIR", help="The folder to write; it must be new or empty.", callback=_no_pipe)
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="Memory for the query, such as 4GB; the rest goes to disk.", show_default=False
    ),
]

# Of `rate`

Store = Annotated[str, typer.Option("--store", metavar="DIR", help="The folder of the ratings; made when it is not there.")]
Device = Annotated[
    str,
    typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 …; 'cuda:0,cuda:1' uses both.", rich_help_panel=_RUN),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that decode; as the machine has cores where not said.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
Readers = Annotated[
    int,
    typer.Option(
        "--readers", min=1, help="Shards read at the same time; more help where they come over a network.", rich_help_panel=_RUN
    ),
]
SecondsPerSample = Annotated[
    float | None,
    typer.Option(
        "--seconds-per-sample",
        min=0.1,
        metavar="SECONDS",
        help="Decoding a sample, and judging it beside the decoder, is given up after that: 30 where not said.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Samples a batch; changes no value.", show_default=False, rich_help_panel=_RUN),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Download nothing; weights that are not there are an error.", rich_help_panel=_RUN)
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run code that cards of your own and model repositories name.", rich_help_panel=_RUN)
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        metavar="N|P%",
        help="Stop when more ratings fail than this.",
        show_default=False,
        rich_help_panel=_FAILURES,
    ),
]
Retry = Annotated[
    list[str] | None,
    typer.Option(
        "--retry",
        metavar="STATUS",
        help="Ask again what ended so: a status, 'transient' or 'failed'; repeat for several.",
        show_default=False,
        rich_help_panel=_FAILURES,
    ),
]

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="CURATE_SERVER",
        help="The OpenAI-compatible server that judges with rubrics ask, such as http://127.0.0.1:8000/v1; without it their "
        "weights run here.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        envvar="CURATE_MODEL",
        help="The model to ask for; the only one that is served where not said.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
KeyVariable = Annotated[
    str | None,
    typer.Option(
        "--key-from",
        metavar="VARIABLE|FILE",
        help="The environment variable, or the file that only you can read, with the server's key.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="The most requests in flight.", rich_help_panel=_SERVER)]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget",
        metavar="N",
        min=1,
        help="Send at most N requests, tests and tries included; what is not asked then is asked by the next run.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
BudgetTokens = Annotated[
    int | None,
    typer.Option(
        "--budget-tokens",
        metavar="N",
        min=1,
        help="Use at most N tokens, of prompts and replies together, tests included.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
Canary = Annotated[
    bool,
    typer.Option(
        "--canary/--no-canary",
        help="Test first, with up to 72 requests beside the 3 or more that find out what the server can do, and every hour that "
        "its answers are about the pictures they were asked about.",
        rich_help_panel=_SERVER,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Ask nothing: count the requests and tokens it would take at least.", rich_help_panel=_SERVER),
]
Price = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT",
        help="Prices of a million tokens of prompts and of replies, for --dry-run.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]

# Of `filter`

Keep = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Samples for which this holds, such as 'signal > 0.4 and width >= 512'.",
        show_default=False,
        rich_help_panel=_KEEP,
    ),
]
Top = Annotated[
    str | None,
    typer.Option("--top", metavar="N|P%", help="The best N, or P percent, by --by.", show_default=False, rich_help_panel=_KEEP),
]
TopBy = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="EXPR", help="What is better, for --top; larger is better.", show_default=False, rich_help_panel=_KEEP
    ),
]
Per = Annotated[
    str | None,
    typer.Option(
        "--per",
        metavar="FIELD",
        help="--top for each value of this field, such as group.",
        show_default=False,
        rich_help_panel=_KEEP,
    ),
]
SamplesFormat = Annotated[str, typer.Option("--format", metavar="F", help="shards, parquet or ids.")]

# Of `rank`

RankingOut = Annotated[
    str,
    typer.Option(
        "--out", metavar="FILE|DIR", help="The Parquet file of the ranking; with --format, a new folder.", callback=_no_pipe
    ),
]
RankingFormat = Annotated[
    str | None,
    typer.Option("--format", metavar="F", help="Write a dataset instead: rankdpo, imagereward …", show_default=False),
]

# Of `pair`

PairsFormat = Annotated[
    str, typer.Option("--format", metavar="F", help="Who will read it: diffusers-dpo, hpdv2, hpdv3, win-lose-folders …")
]
Strategy = Annotated[
    str, typer.Option("--strategy", metavar="NAME", help="best-worst, adjacent, top-vs-rest or all.", rich_help_panel=_PAIRS)
]
MinMargin = Annotated[
    str,
    typer.Option(
        "--min-margin",
        metavar="X",
        help="The least by which chosen is better, in units of --by; '0.5sd' in those of its spread within the group.",
        rich_help_panel=_PAIRS,
    ),
]
Ties = Annotated[
    str,
    typer.Option("--ties", metavar="drop|keep", help="What becomes of ties; kept, they have margin 0.", rich_help_panel=_PAIRS),
]
MaxPerGroup = Annotated[
    int | None,
    typer.Option("--max-per-group", min=1, help="The most pairs of a group.", show_default=False, rich_help_panel=_PAIRS),
]
MaxPerSample = Annotated[
    int | None,
    typer.Option("--max-per-sample", min=1, help="The most pairs one sample is in.", show_default=False, rich_help_panel=_PAIRS),
]
Prefer = Annotated[
    str,
    typer.Option(
        "--prefer",
        metavar="margin|random",
        help="Which pairs stay where these limits take some: those of the largest margin, or random ones.",
        rich_help_panel=_PAIRS,
    ),
]
Agree = Annotated[
    list[str] | None,
    typer.Option(
        "--agree",
        metavar="EXPR",
        help="Another opinion that must not contradict; repeat for several.",
        show_default=False,
        rich_help_panel=_VOTES,
    ),
]
AtLeast = Annotated[
    int | None,
    typer.Option(
        "--at-least",
        metavar="N",
        help="How many of the opinions must agree; all where not said.",
        show_default=False,
        rich_help_panel=_VOTES,
    ),
]
Split = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME=SHARE,…", help="Share prompts out, such as train=0.95,test=0.05.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", help="Decides what is left to chance: --split, and --prefer random.")]
