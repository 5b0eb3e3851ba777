"""Progress of a run, shown to a person: a live line in a terminal, one line every ten seconds in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from curate.cli.session import LOG

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from curate.progress import Progress

SECONDS_BETWEEN_LINES = 10.0
MOST_STAGES = 4
"""Stages named in a line, the busiest first."""


class Display:
    """Shows each `Progress` it is called with; use it as a context so that the terminal is given back."""

    def __init__(self, console: Console, *, quiet: bool = False, every: float = SECONDS_BETWEEN_LINES) -> None:
        from rich.live import Live

        self._console = console
        self._quiet = quiet
        self._every = every
        self._last = time.monotonic()
        self._logged = False
        self._live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal and not quiet else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(bar(progress))
        if not self._logged:
            # The first at once: what the log has kept back until there is a store is written with it.
            self._logged = True
            LOG.info("%s", line(progress))
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        LOG.info("%s", line(progress))
        if self._live is None and not self._quiet:
            self._console.print(line(progress), markup=False, soft_wrap=True)


def line(progress: Progress) -> str:
    """A run in one line: how far, how fast, how long still, which stage holds it up, and what failed."""
    parts = [_samples(progress)]
    if progress.shards_total:
        parts.append(f"{progress.shards_done:,} of {progress.shards_total:,} shards")
    parts.append(f"{progress.samples_per_second:,.1f} samples/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    if progress.busy:
        busiest = sorted(progress.busy.items(), key=lambda stage: (-stage[1], stage[0]))[:MOST_STAGES]
        parts.append("busy: " + ", ".join(f"{stage} {share:.0%}" for stage, share in busiest))
    if progress.failures:
        parts.append("failed: " + ", ".join(f"{status} {count:,}" for status, count in sorted(progress.failures.items())))
    return " · ".join(parts)


def bar(progress: Progress) -> RenderableType:
    """The same below a bar, which moves to and fro while the total is not known."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    rows = Table.grid()
    rows.add_row(ProgressBar(total=progress.samples_total, completed=progress.samples_done, width=60))
    rows.add_row(Text(line(progress)))
    return rows


def duration(seconds: float) -> str:
    """Seconds as a person would say them: '1 h 05 min', '3 min 20 s', '12 s', '0.4 s'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"


def _samples(progress: Progress) -> str:
    if progress.samples_total is None:
        return f"{progress.samples_done:,} samples"
    return f"{progress.samples_done:,} of about {progress.samples_total:,} samples"
