"""What filter, rank and pair can be asked for, checked before any work is done."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal

from curate.errors import CurateError, nearest
from curate.records import View
from curate.select.strategies import STRATEGIES, Strategy

LEAST_MEMORY = 256 << 20

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}
_SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"

REST_SPLIT = "train"
"""The split of all that the named ones leave."""


def _refuse(unless: object, message: str) -> None:
    if not unless:
        raise CurateError(message)


def _is_whole(number: object, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a selection may use of the machine. Nothing here changes a result."""

    memory: str | int = "2GB"
    """Bytes, or a text such as '2GB' or '512MiB'."""
    threads: int | None = None
    """Of the database; None takes one for each core."""
    timeout: float | None = None
    """Seconds."""

    def __post_init__(self) -> None:
        _refuse(self.bytes >= LEAST_MEMORY, f"memory is {self.memory}, and at least 256MiB is needed")
        _refuse(self.threads is None or _is_whole(self.threads, 1), f"threads is {self.threads}; give a whole number from 1 on")
        if self.timeout is not None:
            _refuse(0 < self.timeout <= threading.TIMEOUT_MAX, f"timeout is {self.timeout}; give a positive number of seconds")

    @property
    def bytes(self) -> int:
        """`memory` as a number."""
        if _is_whole(self.memory, 0):
            return int(self.memory)
        match = re.fullmatch(rf"\s*{_NUMBER}\s*([KMGT]I?|)B?\s*", str(self.memory).upper())
        if match is None:
            raise CurateError(f"memory is '{self.memory}'; write it like 2GB or 512MiB")
        return int(Fraction(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """How many to keep of the best: a number, or a share."""

    count: int | None = None
    share: Fraction | None = None
    """In [0, 1]; of n samples ceil(share * n) are kept."""


def parse_top(text: str | int) -> Top:
    """`1000` or `12%`. Raises `CurateError` for anything else."""
    if _is_whole(text, 1):
        return Top(count=int(text))
    match = re.fullmatch(rf"\s*{_NUMBER}\s*(%?)\s*", str(text))
    if match is not None and match[2]:
        share = Fraction(match[1]) / 100
        if 0 < share <= 1 and share.denominator <= 10**9:
            return Top(share=share)
    elif match is not None and match[1].isdigit() and int(match[1]) >= 1:
        return Top(count=int(match[1]))
    raise CurateError(f"top is '{text}'; write a number of samples such as 1000, or a share such as 12%")


def parse_margin(text: str | float) -> tuple[float, bool]:
    """`0.5`, in the units of the expression, or `0.5sd`, in standard deviations of the group; whether it is the latter."""
    match = re.fullmatch(rf"\s*{_NUMBER}(?:e(-?\d+))?\s*(sd)?\s*", str(text).lower())
    value = float(f"{match[1]}e{match[2] or 0}") if match else math.nan
    _refuse(
        math.isfinite(value), f"min_margin is '{text}'; write a number from 0 on, such as 0.5, or 0.5sd for spreads of the group"
    )
    return value, match is not None and match[3] is not None


def parse_split(text: str | Mapping[str, float] | None) -> tuple[tuple[str, Fraction], ...]:
    """`test=5%,val=2%` as names with shares of the prompts; what is left is `REST_SPLIT`. Empty for None.

    Raises `CurateError` for a name that cannot be a file name, a share that is none, and more than there is.
    """
    if text is None:
        return ()
    items = text.split(",") if isinstance(text, str) else [f"{name}={share}" for name, share in text.items()]
    splits: dict[str, Fraction] = {}
    for item in items:
        match = re.fullmatch(rf"\s*(.*?)\s*=\s*{_NUMBER}\s*(%?)\s*", item)
        if match is None:
            raise CurateError(f"split is '{text}'; write names with shares, such as test=5%,val=2%")
        name, share = match[1], Fraction(match[2]) / (100 if match[3] else 1)
        _refuse(_SPLIT_NAME.fullmatch(name), f"the split '{name[:40]}' cannot be a file name; use small letters, digits and '_'")
        _refuse(name not in splits, f"the split '{name}' stands twice in '{text}'")
        _refuse(
            0 < share <= 1, f"the share of the split '{name}' is {item.split('=')[1].strip()}; it lies above 0 and up to 100%"
        )
        splits[name] = share
    total = sum(splits.values())
    _refuse(total <= 1, f"the splits of '{text}' are {float(total):.0%} together, which is more than there is")
    _refuse(total == 1 or REST_SPLIT not in splits, f"'{REST_SPLIT}' takes what the other splits leave; leave it out of '{text}'")
    return tuple(splits.items())


def check_tie(tie: float) -> None:
    """Raises `CurateError` unless `tie` is a finite number from 0 on."""
    _refuse(math.isfinite(tie) and tie >= 0, f"tie is {tie}; give the largest difference that is none, a number from 0 on")


def check_field(name: str | None) -> None:
    """Raises `CurateError` unless `name` is a sample field, or None."""
    _refuse(
        name is None or name in View.FIELDS, f"per is '{name}', which is not a sample field. {nearest(str(name), View.FIELDS)}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """How pairs are made of ranked groups."""

    strategy: Strategy = "best-worst"
    min_margin: str | float = "0"
    tie: float = 0.0
    ties: Literal["drop", "keep"] = "drop"
    agree: Sequence[str] = ()
    at_least: int | None = None
    max_per_group: int | None = None
    max_per_sample: int | None = None
    prefer: Literal["margin", "random"] = "margin"
    seed: int = 0
    split: str | Mapping[str, float] | None = None
    splits: tuple[tuple[str, Fraction], ...] = field(init=False)
    """`split` as names with shares."""
    margin: float = field(init=False)
    """The number in `min_margin`."""
    margin_in_spreads: bool = field(init=False)
    """Whether it counts standard deviations of the group."""

    def __post_init__(self) -> None:
        known = f"the strategy is '{self.strategy}'. {nearest(str(self.strategy), STRATEGIES)}"
        _refuse(self.strategy in STRATEGIES, known)
        _refuse(self.ties in ("drop", "keep"), f"ties is '{self.ties}'; it can be 'drop' or 'keep'")
        _refuse(self.prefer in ("margin", "random"), f"prefer is '{self.prefer}'; it can be 'margin' or 'random'")
        check_tie(self.tie)
        for name, most in (("max_per_group", self.max_per_group), ("max_per_sample", self.max_per_sample)):
            _refuse(most is None or _is_whole(most, 1), f"{name} is {most}; give a whole number from 1 on")
        _refuse(_is_whole(self.seed, 0), f"seed is {self.seed}; give a whole number from 0 on")
        self._check_agreement()
        margin, in_spreads = parse_margin(self.min_margin)
        object.__setattr__(self, "margin", margin)
        object.__setattr__(self, "margin_in_spreads", in_spreads)
        object.__setattr__(self, "splits", parse_split(self.split))

    @property
    def capped(self) -> bool:
        """Whether a group's pairs have to be chosen among."""
        return self.max_per_group is not None or self.max_per_sample is not None

    @property
    def votes_needed(self) -> int:
        """How many of `agree` have to name the same winner."""
        return len(self.agree) if self.at_least is None else self.at_least

    def as_asked(self) -> dict[str, Any]:
        """Every option as it was given, for the record of how a result was made."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.init}

    def _check_agreement(self) -> None:
        _refuse(not isinstance(self.agree, str), f"agree takes a list of expressions, and not the text '{self.agree}'")
        if self.at_least is not None:
            _refuse(self.agree, "at_least says how many of the expressions in agree have to agree; give these too")
            fits = _is_whole(self.at_least, 0) and self.at_least <= len(self.agree)
            _refuse(fits, f"at_least is {self.at_least}, and agree has {len(self.agree)} expressions")
