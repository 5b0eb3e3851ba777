"""What filter, rank and pair can be asked for, checked before any work is done."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal

from curate.errors import CurateError, Option, nearest
from curate.records import View
from curate.select.strategies import STRATEGIES, Strategy

LEAST_MEMORY = 256 << 20

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}
_SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"

REST_SPLIT = "train"
"""The split of all that the named ones leave."""


def _refuse(unless: object, *sentence: str) -> None:
    if not unless:
        raise CurateError(*sentence)


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
        _refuse(self.bytes >= LEAST_MEMORY, Option("memory"), f" is {self.memory}, and at least 256MiB is needed")
        threads = self.threads is None or _is_whole(self.threads, 1)
        _refuse(threads, Option("threads"), f" is {self.threads}; give a whole number from 1 on")
        timeout = self.timeout is None or 0 < self.timeout <= threading.TIMEOUT_MAX
        _refuse(timeout, Option("timeout"), f" is {self.timeout}; give a positive number of seconds")

    @property
    def bytes(self) -> int:
        """`memory` as a number."""
        if _is_whole(self.memory, 0):
            return int(self.memory)
        match = re.fullmatch(rf"\s*{_NUMBER}\s*([KMGT]I?|)B?\s*", str(self.memory).upper())
        if match is None:
            raise CurateError(Option("memory"), f" is '{self.memory}'; write it like 2GB or 512MiB")
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
    raise CurateError(Option("top"), f" is '{text}'; write a number of samples such as 1000, or a share such as 12%")


def parse_margin(text: str | float) -> tuple[float, bool]:
    """`0.5`, in the units of the expression, or `0.5sd`, in standard deviations of the group; whether it is the latter."""
    match = re.fullmatch(rf"\s*{_NUMBER}(?:e(-?\d+))?\s*(sd)?\s*", str(text).lower())
    value = float(f"{match[1]}e{match[2] or 0}") if match else math.nan
    example = "write a number from 0 on, such as 0.5, or 0.5sd for spreads of the group"
    _refuse(math.isfinite(value), Option("min_margin"), f" is '{text}'; {example}")
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
        name, equals, share = (part.strip() for part in item.partition("="))
        if not equals:
            raise _wrong_split(f"'{name[:40]}' has no '=' between its name and its share; write it like test=5%")
        if not _SPLIT_NAME.fullmatch(name):
            shown = f"the name '{name[:40]}' cannot be a file name" if name else f"the share {share[:40]} has no name"
            raise _wrong_split(f"{shown}; begin it with a small letter, and use small letters, digits and '_'")
        if name in splits:
            raise _wrong_split(f"'{name}' stands twice in '{text}'")
        splits[name] = _parse_share(name, share)
    total = sum(splits.values())
    if total > 1:
        raise _wrong_split(f"the shares of '{text}' are {float(total):.0%} together, which is more than there is")
    if total < 1 and REST_SPLIT in splits:
        raise _wrong_split(f"'{REST_SPLIT}' takes what the other splits leave; leave it out of '{text}'")
    return tuple(splits.items())


def _parse_share(name: str, text: str) -> Fraction:
    """`5%` or `0.05` as a share of the whole. Raises `CurateError` unless it lies above 0 and goes up to 1."""
    match = re.fullmatch(rf"{_NUMBER}\s*(%?)", text)
    share = Fraction(match[1]) / (100 if match[2] else 1) if match else Fraction(0)
    if 0 < share <= 1:
        return share
    meant = f"{name}={text}%" if match and not match[2] and 1 < share <= 100 else f"{name}=5%"
    raise _wrong_split(f"the share of '{name}' is '{text[:40]}'; it lies above 0 and goes up to 100%: write it like {meant}")


def _wrong_split(message: str) -> CurateError:
    return CurateError(Option("split"), f": {message}")


def check_tie(tie: float) -> None:
    """Raises `CurateError` unless `tie` is a finite number from 0 on."""
    right = math.isfinite(tie) and tie >= 0
    _refuse(right, Option("tie"), f" is {tie}; give the largest difference that is none, a number from 0 on")


def check_seed(seed: int) -> None:
    """Raises `CurateError` unless `seed` is a whole number from 0 on."""
    _refuse(_is_whole(seed, 0), Option("seed"), f" is {seed}; give a whole number from 0 on")


def check_field(name: str | None) -> None:
    """Raises `CurateError` unless `name` is a sample field, or None."""
    known = name is None or name in View.FIELDS
    _refuse(known, Option("per"), f" is '{name}', which is not a sample field. {nearest(str(name), View.FIELDS)}")


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
        known = nearest(str(self.strategy), STRATEGIES)
        _refuse(self.strategy in STRATEGIES, Option("strategy"), f" is '{self.strategy}'. {known}")
        _refuse(self.ties in ("drop", "keep"), Option("ties"), f" is '{self.ties}'; it can be 'drop' or 'keep'")
        _refuse(self.prefer in ("margin", "random"), Option("prefer"), f" is '{self.prefer}'; it can be 'margin' or 'random'")
        check_tie(self.tie)
        for name, most in (("max_per_group", self.max_per_group), ("max_per_sample", self.max_per_sample)):
            _refuse(most is None or _is_whole(most, 1), Option(name), f" is {most}; give a whole number from 1 on")
        check_seed(self.seed)
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
        agree, at_least = Option("agree"), Option("at_least")
        _refuse(not isinstance(self.agree, str), agree, f" takes a list of expressions, and not the text '{self.agree}'")
        if self.at_least is not None:
            _refuse(self.agree, at_least, " says how many of the expressions in ", agree, " have to agree; give these too")
            fits = _is_whole(self.at_least, 0) and self.at_least <= len(self.agree)
            _refuse(fits, at_least, f" is {self.at_least}, and ", agree, f" has {len(self.agree)} expressions")
