"""Every error a user can cause, as one family: what went wrong, where, and what to do.

The command line prints a `CurateError` as one sentence, without a traceback, and exits with 2. Anything else is a bug
and keeps its traceback.

    CurateError
    ├── ShardError        a shard that is missing, empty or not a tar archive
    ├── LayoutError       a layout that does not exist or does not fit the shards
    ├── CardError         a card that does not exist or does not hold together
    ├── WeightsError      weights that are not on this machine, or are not what their card says
    ├── MissingExtra      a part of curate whose optional packages are not installed
    ├── ExpressionError   a `--where` or `--by` that cannot be read
    ├── StoreError        a store that is missing, busy, damaged, or made by a newer version
    ├── OutputError       an output that cannot be written: folder not empty, disk full
    ├── ServerError       a server of judges that is away, refuses, or is not what was asked for
    ├── BudgetSpent       a limit on requests or tokens that leaves nothing to ask with
    └── TooManyFailures   a run stopped by `--max-failures`

A sentence that names an option says it as an `Option`, between its other words: `CurateError(Option("min_margin"), " is …")`.
`str(error)` spells it as in Python, `error.as_typed()` as on the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Option(str):
    """The name of an option, as in Python: `min_margin`; of one that takes several, with the position: `agree[1]`."""

    __slots__ = ()

    def as_typed(self) -> str:
        """As on the command line: `--min-margin`; `--agree number 2`."""
        name, _, position = self.partition("[")
        number = f" number {int(position.removesuffix(']')) + 1}" if position else ""
        return f"--{name.replace('_', '-')}{number}"


class CurateError(Exception):
    """A mistake that one sentence can explain; the base of every error curate raises on purpose.

    Its arguments are the parts of the sentence: texts, and an `Option` where an option is named.
    """

    def __str__(self) -> str:
        return "".join(map(str, self.args))

    def as_typed(self) -> str:
        """The sentence for the command line, where options are spelled otherwise than in Python."""
        return "".join(part.as_typed() if isinstance(part, Option) else str(part) for part in self.args)


class ShardError(CurateError):
    """A shard that is missing, empty, or not an archive."""


class LayoutError(CurateError):
    """A layout that does not exist, is not well formed, or does not fit the shards."""


class CardError(CurateError):
    """A card that does not exist or is not well formed."""


class WeightsError(CurateError):
    """Weights that are not on this machine and cannot be fetched, or are not what their card says."""


class MissingWeights(WeightsError):
    """Weights that are not on this machine."""


class ExpressionError(CurateError):
    """An expression that is not in the language of `--where` and `--by`."""


class UnknownRater(ExpressionError):
    """An expression with a name that is neither a sample field nor a rater in the store."""

    def __init__(self, *sentence: str, name: str = "", dashed: str = "") -> None:
        super().__init__(*sentence)
        self.name = name
        """As it was written."""
        self.dashed = dashed
        """With what follows it, where dashes may be meant to be part of a name."""


class StoreError(CurateError):
    """A store that is missing, in use, damaged, or made by a newer version."""


class OutputError(CurateError):
    """An output that cannot be written."""


class ServerError(CurateError):
    """A server of judges that is away, refuses the key, serves another model, or cannot do what a rubric needs."""


class BudgetSpent(CurateError):
    """A limit on requests or tokens that does not even allow to find out what the server can do."""


class TooManyFailures(CurateError):
    """More failed ratings than `--max-failures` allows; what was committed before stays."""


class MissingExtra(CurateError):
    """A feature whose optional packages are not installed."""

    def __init__(self, feature: str, extra: str, cause: BaseException | None = None) -> None:
        why = f" ({cause})" if cause else ""
        super().__init__(f"{feature} needs packages that are not installed{why}: pip install 'curate-preferences[{extra}]'")


CLOSE = 0.75
"""Likeness, from 0 to 1, from which on a name may be a slip of another; lower, and short names offer what nobody meant."""


def nearest(name: str, known: Iterable[str], *, most: int = 3, ordered: bool = False, shown: int = 12) -> str:
    """A phrase that offers the known names closest to `name`, or the first `shown` of all; empty when none is known.

    Names are sorted unless they are `ordered` already, the likeliest first.
    """
    names = list(dict.fromkeys(known)) if ordered else sorted(set(known))
    close = difflib.get_close_matches(name, names, n=most, cutoff=CLOSE)
    if close:
        return f"Did you mean {' or '.join(repr(one) for one in close)}?"
    if not names:
        return ""
    return f"Known: {', '.join(names[:shown])}{' …' if len(names) > shown else '.'}"
