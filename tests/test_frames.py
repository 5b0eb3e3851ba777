"""Which frames of a video are looked at, and how their values become one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.frames import Frames

SIXTEEN = [number / 8 for number in range(16)]

times = st.lists(st.integers(1, 50), max_size=60).map(lambda steps: [sum(steps[:n]) / 25 for n in range(len(steps) + 1)])


def test_attenuation_is_that_of_the_paper() -> None:
    """InstructVideo: F = 16, frames 2, 5, 9 and 14."""
    weights = Frames(reduce="attenuated").weights([2, 5, 9, 14], 16)
    assert weights == pytest.approx([0.00247875, 0.04978707, 0.36787944, 0.00247875], abs=1e-8)
    one = Frames(reduce="attenuated").combine([0.2, 0.3, 0.25, 0.1], [2, 5, 9, 14], 16)
    assert one == pytest.approx(math.fsum(w * r for w, r in zip(weights, [0.2, 0.3, 0.25, 0.1], strict=True)) / 4)


def test_without_attenuation_it_is_the_mean() -> None:
    values = [0.5, 2.0, -1.0]
    assert Frames(reduce="attenuated", attenuation=0.0).combine(values, [0, 4, 9], 10) == pytest.approx(0.5)
    assert Frames().combine(values, [0, 4, 9], 10) == pytest.approx(0.5)


def test_the_other_ways_to_combine() -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    assert Frames(reduce="min").combine(values, range(5), 5) == 1.0
    assert Frames(reduce="percentile", percentile=10.0).combine(values, range(5), 5) == pytest.approx(1.4)
    assert Frames(reduce="percentile", percentile=100.0).combine(values, range(5), 5) == 5.0


def test_uniform_is_by_time_and_holds_both_ends() -> None:
    assert Frames(count=4).choose(SIXTEEN, key="") == [0, 5, 10, 15]
    # Half of the frames lie in the last tenth of the time: counting frames would look there twice.
    uneven = [*(second for second in range(9)), *(8.1 + n / 100 for n in range(9))]
    assert Frames(count=3).choose(uneven, key="") == [0, 4, 17]


def test_strided_counts_frames_from_the_first_and_leaves_out_the_last() -> None:
    """VideoScore's example: numpy's arange(0, n, n / count), cut to whole numbers."""
    of_its_video = [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22]
    assert Frames(policy="strided", count=16).choose([number / 8 for number in range(24)], key="") == of_its_video
    assert Frames(policy="strided", count=4).choose(SIXTEEN, key="") == [0, 4, 8, 12]
    # Of no more frames than are asked for, all are taken, once.
    assert Frames(policy="strided", count=16).choose(SIXTEEN, key="") == list(range(16))
    assert Frames(policy="strided", count=16).choose(SIXTEEN[:5], key="") == list(range(5))
    # When they are shown changes nothing: half of these lie in the last tenth of the time.
    uneven = [*(second for second in range(9)), *(8.1 + n / 100 for n in range(9))]
    assert Frames(policy="strided", count=3).choose(uneven, key="") == [0, 6, 12]


@pytest.mark.parametrize("count", [3, 16, 20, 48])
def test_strided_positions_are_those_of_numpy_to_the_last(count: int) -> None:
    """Where n is a multiple of count, rounding the quotient otherwise gives another frame, 48 of 208 for one."""
    for total in range(count + 1, 600):
        positions = np.arange(0, total, total / count).astype(int)
        chosen = Frames(policy="strided", count=count).choose(range(total), key="")
        assert chosen == positions[positions < total].tolist()


def test_segments() -> None:
    assert Frames(policy="segment_centre", count=4).choose(SIXTEEN, key="") == [1, 5, 9, 13]
    one, same, other = (Frames(policy="segment_random", count=4).choose(SIXTEEN, key=key) for key in ("a", "a", "b"))
    assert one == same
    assert other != one
    assert Frames(policy="segment_random", count=4, seed=1).choose(SIXTEEN, key="a") != one


def test_a_rate() -> None:
    assert Frames(policy="rate", fps=2.0).choose(SIXTEEN, key="") == [0, 4, 8, 12]
    with pytest.raises(ValidationError, match="need fps"):
        Frames(policy="rate")
    with pytest.raises(ValidationError, match="need fps"):
        Frames(policy="even_rate")
    with pytest.raises(ValidationError, match="take none"):
        Frames(fps=2.0)


RATES = [1, 8, 12.5, 15, 16, 24_000 / 1001, 24, 25, 30_000 / 1001, 30, 60]

STAMPS: dict[str, Callable[[float], float]] = {
    "exact": lambda second: second,
    "milliseconds": lambda second: round(second, 3),
    "ticks": lambda second: round(second * 90_000) / 90_000,
}
"""How containers keep times."""


def even_positions(total: int, rate: float, *, fps: float, most: int) -> list[int]:
    """Qwen-VL's formula, written out: the number of frames, then numpy's linspace between the first and the last."""
    count = total / rate * fps
    count = max(count, 4)
    count = min(count, min(most, total) // 2 * 2)
    return np.linspace(0, total - 1, round(count / 2) * 2).round().astype(int).tolist()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("stamps", STAMPS)
def test_an_even_rate_is_that_of_qwen_vl(rate: float, stamps: str) -> None:
    frames = Frames(policy="even_rate", fps=2.0, count=768)
    for total in [*range(2, 400), *range(400, 12_000, 997)]:
        shown = [STAMPS[stamps](number / rate) for number in range(total)]
        assert frames.choose(shown, key="") == even_positions(total, rate, fps=2.0, most=768), total


@pytest.mark.parametrize(
    ("total", "rate", "expected"),
    [
        (81, 16, [0, 9, 18, 27, 36, 44, 53, 62, 71, 80]),
        (24, 24, [0, 8, 15, 23]),
        (3, 24, [0, 2]),
        # Two and a half and three and a half seconds of pairs are both rounded to the even number of pairs.
        (60, 24, [0, 20, 39, 59]),
        (84, 24, [0, 12, 24, 36, 47, 59, 71, 83]),
        (1, 24, [0]),
    ],
)
def test_an_even_rate_of_some_videos(total: int, rate: int, expected: list[int]) -> None:
    shown = [number / rate for number in range(total)]
    assert Frames(policy="even_rate", fps=2.0, count=768).choose(shown, key="") == expected


def test_an_even_rate_stops_at_the_most_there_may_be() -> None:
    shown = [number / 24 for number in range(2000)]
    assert len(Frames(policy="even_rate", fps=2.0).choose(shown, key="")) == 166
    for count, taken in ((100, 100), (101, 100), (2, 2), (1, 1)):
        chosen = Frames(policy="even_rate", fps=2.0, count=count).choose(shown, key="")
        assert len(chosen) == taken
        assert chosen[-1] == (1999 if taken > 1 else 0)


POLICIES = ["uniform", "segment_centre", "segment_random", "strided", "all", "rate", "even_rate"]


@given(times, st.sampled_from(POLICIES), st.integers(1, 20))
def test_positions_are_ascending_inside_and_no_more_than_asked_for(times: list[float], policy: str, count: int) -> None:
    fps = {"fps": 2.0} if policy.endswith("rate") else {}
    chosen = Frames.model_validate({"policy": policy, "count": count, **fps}).choose(times, key="k")
    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= count
    assert 0 <= chosen[0] <= chosen[-1] < len(times)


def test_an_even_rate_of_a_video_without_length() -> None:
    assert Frames(policy="even_rate", fps=2.0).choose([5.0] * 6, key="a") == [0, 2, 3, 5]
