"""What filter, rank and pair share: the engine over a view for as long as one result takes, and how a result says it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from curate.errors import ExpressionError, Option
from curate.files import output_errors
from curate.records import Funnel, View
from curate.scratch import scratch_folder
from curate.select.engine import Engine
from curate.select.expression import Expression, parse
from curate.select.options import Limits


@contextmanager
def engine_for(view: View, out: Path, limits: Limits) -> Iterator[Engine]:
    """An engine that spills beside `out`, whose folder is made where it is missing; nothing of the spill stays."""
    with ExitStack() as stack:
        with output_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            scratch = stack.enter_context(scratch_folder(out.parent))
        yield stack.enter_context(
            Engine(view, memory=limits.bytes, threads=limits.threads, seconds=limits.timeout, scratch=scratch)
        )


def parse_where(where: str | None, view: View) -> Expression | None:
    """The condition, where there is one."""
    return None if where is None else parse(where, view, what=Option("where"), wanted="boolean")


def parse_by(by: str | None, view: View) -> Expression:
    """The expression that says what is better. Raises `ExpressionError` where there is none."""
    if by is None:
        raise ExpressionError(Option("by"), " is missing; say what is better: a rater, such as pickscore, or an expression")
    return parse(by, view, what=Option("by"))


def how_made(
    step: str, view: View, asked: Mapping[str, Any], used: Sequence[Expression | None], funnels: list[Funnel]
) -> dict[str, Any]:
    """How a result was made: what was asked for, the fingerprints of the cards it rests on, and the funnels."""
    raters = sorted({rater for expression in used if expression is not None for rater in expression.raters})
    return {
        "step": step,
        "asked": {name: value for name, value in asked.items() if value is not None},
        "cards": {rater: view.raters[rater].card for rater in raters},
        "funnels": [funnel.as_dict() for funnel in funnels],
    }
