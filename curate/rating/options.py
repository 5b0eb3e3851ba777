"""The settings of a rating run: what a user may say, read and checked."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from curate.errors import CurateError, Option, TooManyFailures, nearest
from curate.progress import Progress
from curate.rater_settings import Settings
from curate.records import TRANSIENT, Status
from curate.shards.limits import MediaLimits

SECONDS_PER_SAMPLE = 30.0

FAILED = frozenset(Status) - {Status.OK, Status.PENDING}

_DEVICE = r"(auto|cpu|cuda(:\d+)?)"
_DEVICES = re.compile(rf"{_DEVICE}(,{_DEVICE})*", re.ASCII)
"""How devices are spelled; which of them are there is known once a rater wants one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimit:
    """How many failed ratings end a run; no limit by default."""

    count: int | None = None
    share: float | None = None
    """Of the answers so far, looked at once there are `SHARE_AFTER` and at the end."""

    SHARE_AFTER: ClassVar[int] = 200

    @classmethod
    def parse(cls, limit: str | int | None) -> FailureLimit:
        """The limit that `--max-failures` sets: '100' ratings, or '5%' of them."""
        if limit is None:
            return cls()
        text = str(limit)
        try:
            value = float(text.removesuffix("%")) if text.endswith("%") else int(text)
        except ValueError:
            value = -1
        if not 0 <= value <= (100 if text.endswith("%") else math.inf):
            raise CurateError(Option("max_failures"), f" takes a number of ratings or a share such as 5%, not '{text}'")
        return cls(share=value / 100) if text.endswith("%") else cls(count=int(value))

    def check(self, failures: Mapping[str, int], answered: int, *, last: bool = False) -> None:
        """Raise `TooManyFailures` where so many answers hold too many failures, by status; `last` at the end of a run."""
        failed = sum(failures.values())
        too_many = self.count is not None and failed > self.count
        if self.share is not None and (last or answered >= self.SHARE_AFTER):
            too_many = too_many or failed > self.share * answered
        if too_many:
            shown = ", ".join(f"{count} {status}" for status, count in sorted(failures.items()))
            raise TooManyFailures(
                f"{failed} of {answered} ratings failed ({shown}), more than ",
                Option("max_failures"),
                " allows; what is finished is kept, and the same command goes on from there",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOptions:
    """How a run is carried out; apart from the layout and `retry`, none of it changes what is stored in the end."""

    layout: str | None = None
    """Name of a known layout or path of a file; None guesses it from the first records."""
    workers: int | None = None
    """Decode processes; None takes one for each processor, 0 decodes in the caller's own thread, unprotected."""
    readers: int = 1
    """Units read at the same time; more than one helps where reading waits for a network."""
    max_failures: FailureLimit = field(default_factory=FailureLimit)
    retry: frozenset[Status] = frozenset()
    """Statuses whose stored ratings are asked again."""
    limits: MediaLimits = field(default_factory=MediaLimits)
    seconds_per_sample: float = SECONDS_PER_SAMPLE
    """Decoding a sample and judging it beside the decoder is given up after that."""
    memory_bytes: int | None = 4 << 30
    """The most a decode worker may take."""
    settings: Settings = field(default_factory=Settings)
    on_progress: Callable[[Progress], None] | None = None
    """Called twice a second from a thread of its own."""

    def __post_init__(self) -> None:
        if self.workers is not None:
            _refuse_below("workers", self.workers, 0)
        _refuse_below("readers", self.readers, 1)
        if self.settings.batch_size is not None:
            _refuse_below("batch_size", self.settings.batch_size, 1)
        seconds: object = self.seconds_per_sample
        if not (isinstance(seconds, int | float) and seconds > 0):
            raise CurateError(Option("seconds_per_sample"), f" is more than 0, not {seconds!r}")
        device: object = self.settings.device
        if not (isinstance(device, str) and _DEVICES.fullmatch(device)):
            raise CurateError(Option("device"), f" is auto, cpu, cuda, cuda:1 …, or several with commas between, not {device!r}")

    @property
    def processes(self) -> int:
        """Decode processes, as said or as the machine has processors."""
        if self.workers is not None:
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_below(option: str, value: object, least: int) -> None:
    """Raise `CurateError` for what is no whole number from `least` on."""
    if not (isinstance(value, int) and value >= least):
        raise CurateError(Option(option), f" is a whole number, {least} or more, not {value!r}")


def parse_statuses(names: Sequence[str]) -> frozenset[Status]:
    """The statuses that `--retry` names; 'transient' and 'failed' stand for several."""
    several = {"transient": TRANSIENT, "failed": FAILED}
    chosen: set[Status] = set()
    for name in names:
        if name in several:
            chosen |= several[name]
        elif name in FAILED:
            chosen.add(Status(name))
        else:
            known = nearest(name, [*several, *FAILED])
            raise CurateError(Option("retry"), f" takes the status of failed ratings, not '{name}'. {known}")
    return frozenset(chosen)
