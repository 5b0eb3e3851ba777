"""`curate raters`: the cards there are, one in full, weights made readable, and numbers of originals met again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from curate.cli import options
from curate.cli.session import Session, session
from curate.cli.tables import table
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.scorers.parity import Trial

SHOW = "show"


class _ShowUnlessTold(TyperGroup):
    """A group in which `curate raters signal` means `curate raters show signal`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # a Context of click's, wherever this typer keeps click
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ShowUnlessTold,
    help="The raters there are: list them, show one in full, convert its weights, compare it with its original.\n\n"
    "[bold]curate raters[/bold] lists all of them, [bold]curate raters --takes prompt --search aesthetic[/bold] some of them "
    "([bold]curate raters show --help[/bold] tells which words --takes has), and [bold]curate raters NAME[/bold] shows one. "
    "[bold]show[/bold] may be left out.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A card, by name or by path.", show_default=False)]


@app.command(SHOW)
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A card, by name or by path, in full.", show_default=False)
    ] = None,
    takes: Annotated[
        list[str] | None,
        typer.Option(
            "--takes",
            metavar="WHAT",
            help="Only raters that look at this: image, video, text, pairs, prompt, or a condition such as source; repeat it.",
            show_default=False,
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="WORDS", help="Only raters in whose card all these words stand.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """List the raters, or show one in full: what it measures, needs, weighs and allows.

    Example: [bold]curate raters --takes prompt --search aesthetic[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api
        from curate.cards import shipped_cards
        from curate.cli import cards

        if name is not None:
            if takes or search:
                raise CurateError(f"'{name}' is one card; --takes and --search are for the list, which has no name")
            file = api.card(name)
            here.finish(cards.document(file), cards.in_full(file))
            return
        chosen = cards.chosen(list(shipped_cards().values()), takes=takes or (), search=search or "")
        here.finish({"raters": [cards.document(file) for file in chosen]}, cards.listed(chosen))


@app.command()
def convert(
    name: Name,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Convert a card's pickled weights (.pt, .pth, .bin, .p) to safetensors, once; nothing of a pickle is run.

    Example: [bold]curate raters convert imagereward[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        made = api.convert(name, offline=offline)
        rows = []
        for one in made:
            rows.append((one.role, one.tensors, "converted" if one.fresh else "was converted before", one.converted))
            if one.prefix:
                here.warn(f"weights.{one.role}: every name began with '{one.prefix}', which was taken off")
            if one.left_out:
                _say_left_out(one.role, one.left_out, here)
        document = {"converted": [one.as_dict() for one in made]}
        here.finish(document, [table("", ("weights", "tensors", "", "now in"), rows)])


@app.command()
def parity(
    name: Name,
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="The folder with the original's pictures; they are known by their hash.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = "cpu",
    offline: options.Offline = False,
    trust: options.Trust = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Compare a rater on this machine with the numbers that its original published. Exit code 1 where one is missed.

    Example: [bold]curate raters parity imagereward --images pictures[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        trials = api.parity(name, images=None if images is None else Path(images), device=device, offline=offline, trust=trust)
        for trial in trials:
            if trial.verdict != "met":
                here.warn(f"{trial.verdict}: {trial.case}: {trial.note}")
        here.finish({"trials": [trial.as_dict() for trial in trials]}, [table("", _TRIAL, map(_row, trials))])
        if any(trial.verdict == "missed" for trial in trials):
            raise typer.Exit(1)


_TRIAL = ("case", "dimension", "expected", "got", "difference", "tolerance", "verdict")


def _row(trial: Trial) -> tuple[object, ...]:
    got = None if trial.got is None else f"{trial.got:.7g}"
    difference = None if trial.difference is None else f"{trial.difference:.1e}"
    return (trial.case, trial.dimension, f"{trial.expected:.7g}", got, difference, f"{trial.tolerance:.0e}", trial.verdict)


def _say_left_out(role: str, names: tuple[str, ...], here: Session) -> None:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    here.warn(f"weights.{role} also holds other things, which were left out: {', '.join(names[:5])}{more}")
