"""`curate demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli import datasets, judging, looking, options
from curate.cli.display import Display
from curate.cli.session import Session, session
from curate.cli.tables import funnel_table
from curate.rating.report import RateReport
from curate.reports import CheckReport, ExportReport
from curate.showing import Shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate.demo import DemoReport, Step


def demo(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder for everything the demo makes.")] = "demo-output",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Run the whole of it on photographs that ship: no download, no GPU, under a minute.

    Example: [bold]curate demo --out demo-output[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate.demo import run_demo

        with Display(here.err, quiet=quiet) as display:
            report = run_demo(out, on_step=lambda step: _show(step, here), on_progress=display)
        here.finish(report.as_dict(), [_ending(report)])


def _show(step: Step, here: Session) -> None:
    """A step as its command prints it."""
    here.show(f"$ {step.command}", style="bold")
    for one in _printed(step.report):
        here.show(one)


def _printed(report: RateReport | Shown | ExportReport | CheckReport) -> Sequence[RenderableType]:
    match report:
        case RateReport():
            return judging.tables(report)
        case Shown():
            return looking.tables(report)
        case CheckReport():
            return datasets.findings(report)
        case _:
            return [funnel_table(report.funnels)]


def _ending(report: DemoReport) -> str:
    verdict = report.verdict
    folder = Path(report.out)
    return (
        f"computed {report.computed} ratings\n"
        f"the less degraded one is chosen in {verdict.share:.1%} of the pairs that have a right way round"
        f" ({verdict.right} right, {verdict.wrong} wrong, {verdict.undecided} of equal severity)\n\n"
        f"  {folder / 'contact-sheet.png'}   look at the pairs\n"
        f"  {folder / 'pairs'}/   the dataset, with a README that says how it was made\n"
        f"  {folder / 'store'}/   the ratings: try another threshold, nothing is computed again\n"
    )
