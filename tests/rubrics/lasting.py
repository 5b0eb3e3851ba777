"""How long reading takes as texts grow."""

from __future__ import annotations

import time
from collections.abc import Callable

UNMEASURABLE = 1e-3
"""Seconds below which a machine's noise is all that is seen."""

MOST_GROWTH = 10.0
"""For four times the text: 4 is the time of its length, 16 that of its square."""

REPEATS = 3


def check_takes_the_time_of_its_length(read: Callable[[str], object], text_of: Callable[[int], str], size: int) -> None:
    """Fails where a text of `size` repetitions takes much more than four times the processor's time of one with a quarter."""
    short, long = (min(_seconds(read, text_of(count)) for _ in range(REPEATS)) for count in (size // 4, size))
    assert long <= MOST_GROWTH * max(short, UNMEASURABLE), f"{short:.4f} s, and for four times the text {long:.4f} s"


def _seconds(read: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    read(text)
    return time.process_time() - start
