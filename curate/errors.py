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
    └── TooManyFailures   a run stopped by `--max-failures`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CurateError(Exception):
    """A mistake that one sentence can explain; the base of every error curate raises on purpose."""


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


class StoreError(CurateError):
    """A store that is missing, in use, damaged, or made by a newer version."""


class OutputError(CurateError):
    """An output that cannot be written."""


class TooManyFailures(CurateError):
    """More failed ratings than `--max-failures` allows; what was committed before stays."""


class MissingExtra(CurateError):
    """A feature whose optional packages are not installed."""

    def __init__(self, feature: str, extra: str, cause: BaseException | None = None) -> None:
        why = f" ({cause})" if cause else ""
        super().__init__(f"{feature} needs packages that are not installed{why}: pip install 'curate-preferences[{extra}]'")


CLOSE = 0.75
"""Likeness, from 0 to 1, from which on a name may be a slip of another; lower, and short names offer what nobody meant."""


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """A phrase that offers the known names closest to `name`, or all of them when few; empty when none is known."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=most, cutoff=CLOSE)
    if close:
        return f"Did you mean {' or '.join(repr(one) for one in close)}?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"Known: {shown}."
