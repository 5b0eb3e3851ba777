"""Progress in a line, and how often it is said."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from curate.cli.display import Display, duration, line
from curate.progress import Progress

MIDWAY = Progress(
    samples_done=12_345,
    samples_total=40_000,
    shards_done=3,
    shards_total=10,
    samples_per_second=512.25,
    seconds_left=54.0,
    busy={"read": 0.04, "decode": 0.93, "signal": 0.2},
    failures={"oom": 1, "decode_error": 2},
)


def test_a_line_says_all_there_is_to_know() -> None:
    assert line(MIDWAY) == (
        "12,345 of about 40,000 samples · 3 of 10 shards · 512.2 samples/s · 54 s left"
        " · busy: decode 93%, signal 20%, read 4% · failed: decode_error 2, oom 1"
    )


def test_a_line_leaves_out_what_is_not_known() -> None:
    assert line(Progress(samples_done=0)) == "0 samples · 0.0 samples/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def shown(*, terminal: bool, quiet: bool = False, every: float = 0.0) -> str:
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=terminal, width=200), quiet=quiet, every=every) as display:
        for _ in range(3):
            display(MIDWAY)
    return out.getvalue()


def test_a_log_gets_a_line_now_and_then() -> None:
    assert shown(terminal=False).splitlines() == [line(MIDWAY)] * 3
    assert shown(terminal=False, every=3600) == ""


def test_quiet_shows_nothing() -> None:
    assert shown(terminal=False, quiet=True) == shown(terminal=True, quiet=True) == ""


def test_a_terminal_gets_one_live_display_that_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = shown(terminal=True)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()
    assert any(one.startswith("12,345 of about 40,000 samples") for one in lines), "the words stand below the bar"
    assert text.endswith("\x1b[2K"), "the display is not cleared at the end"
