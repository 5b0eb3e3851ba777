"""Worlds of samples for property tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.select.oracle import Score
from tests.select.views import Given, Judged

LAW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""For a law that runs queries: few examples, always the same."""

VALUES = st.sampled_from([-1.5, 0.0, 0.1, 0.1, 0.2, 0.25, 0.3, 0.30000000000000004, 1.0, 7.0])
"""Few, so that there are ties and near ties."""

FAILURES = st.sampled_from(["decode_error", "nan", None])


def judged() -> st.SearchStrategy[Judged]:
    return st.one_of(VALUES, VALUES, VALUES, FAILURES)


@st.composite
def worlds(draw: st.DrawFn, most_groups: int = 5, most_in_group: int = 6) -> list[Given]:
    """Groups of different sizes, with failures, ties and identical images; in any order."""
    samples = []
    for group in range(draw(st.integers(0, most_groups))):
        for member in range(draw(st.integers(1, most_in_group))):
            name = f"g{group}-{member}"
            samples.append(
                Given(
                    sample=name,
                    group=f"g{group}",
                    ratings={
                        "pickscore.overall": draw(judged()),
                        "hps-v2.overall": draw(judged()),
                        "nsfw.safe": draw(judged()),
                    },
                    fields={
                        "digest": draw(st.sampled_from([name, name, name, f"twin of g{group}"])),
                        "prompt": draw(st.sampled_from(["a cat", "a dog", None])),
                        "generator": draw(st.sampled_from(["x", "y", None])),
                    },
                )
            )
    return draw(st.permutations(samples))


def score_of(name: str) -> Score:
    """The value of a rating, None where it is not ok."""

    def score(one: Given) -> float | None:
        found = one.ratings.get(name)
        return found if isinstance(found, float) else None

    return score
