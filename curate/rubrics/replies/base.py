"""What every reader of replies has in common: what it gives, and how it says that a reply cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

Output = float | tuple[float, ...] | str
"""A number, several in order, or a text (why the judge said so, what it found)."""

Outputs = Mapping[str, Output]
"""What was read of one reply, by name."""

Reason = Literal[
    "empty",  # nothing was said, or nothing but thoughts
    "unfinished",  # thoughts that never came to an answer
    "not_json",
    "no_field",  # what was asked for is not in the reply
    "wrong_type",
    "not_a_number",
    "wrong_count",  # fewer or more numbers than were asked for
    "out_of_range",
    "ambiguous",  # several readings, and none is better than the others
    "no_choice",  # none of the answers to choose from
    "wrong_format",  # not the lines or blocks that the judge was trained to write
    "inconsistent",  # numbers that contradict each other: shares that do not sum to one, a winner with the lower score
    "low_mass",  # the model was about to say something else than the labels
    "censored",  # a label that the server did not return could change the value
    "bad_logprobs",  # numbers that are no logarithms of probabilities
    "no_logprobs",
    "refusal",
]
"""Why a reply cannot be read; the first word of a rating's detail, by which failures are counted."""


class Unreadable(Exception):
    """A reply that does not say what it was asked for; becomes the status `parse_error`, never a number."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """`detail` is part of a sentence for people, without the reply's text in full."""
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


class Format(Protocol):
    """The replies of a judge that was trained to write in one way.

    Made once from the `params` of a card, as `factory(params)`; raises `ValueError` for those it does not take.
    """

    outputs: tuple[str, ...]
    """Names of all that `read` gives: numbers, one each, and texts, which are kept beside the value."""
    texts: tuple[str, ...]
    """Those of them that are texts."""

    def read(self, text: str) -> Outputs:
        """All outputs of a reply, which comes as it was said, thoughts included. Raises `Unreadable`, and nothing else."""
        ...


def shown(text: str, most: int = 60) -> str:
    """The start of a text for a message: on one line, in quotes, not too long."""
    one_line = " ".join(text.split())
    return repr(one_line if len(one_line) <= most else f"{one_line[: most - 1]}…")


def sound(text: str) -> str:
    """A text that can be stored: halves of characters, which JSON's escapes can make, are joined or else replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
