"""Splits by prompt: what decides is the prompt and the seed, so no prompt is ever on two sides, whatever else is there.

Prompts that differ in white space, or in how their letters are composed, are one here, as `curate.records.plain_prompt` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curate.select.options import REST_SPLIT

_SPACES = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `str.split` takes for white space, as the inside of a class of RE2."""

PLAIN_PROMPT = f"trim(regexp_replace(nfc_normalize(prompt), '[{_SPACES}]+', ' ', 'g'), ' ')"
"""SQL for `curate.records.plain_prompt` of the column `prompt`."""


def split_hash(seed: int) -> str:
    """SQL for a number in [0, 2^64) that depends on the seed and the sample's prompt; without a prompt, on its group."""
    prompt = f"""CASE WHEN prompt IS NULL THEN 'group ' || "group" ELSE 'prompt ' || {PLAIN_PROMPT} END"""
    return f"md5_number_lower('{seed:d} ' || {prompt})"


def sample_hash(seed: int) -> str:
    """SQL for a number in [0, 2^64) that depends on the seed and the sample's id."""
    return f"md5_number_lower('{seed:d} sample ' || sample)"


def split_names(splits: Sequence[tuple[str, Fraction]]) -> list[str]:
    """The splits by the number that `split_numbers` gives; the last is for what the named ones leave."""
    return [*(name for name, _ in splits), REST_SPLIT]


def split_numbers(hashes: NDArray[np.uint64], splits: Sequence[tuple[str, Fraction]]) -> NDArray[np.int64]:
    """For each hash the number of its split: the first split has the hashes below its share of 2^64, and so on."""
    ends = [sum((share for _, share in splits[: number + 1]), Fraction(0)) for number in range(len(splits))]
    bounds = np.array([int(end * 2**64) for end in ends if end < 1], dtype=np.uint64)
    return np.searchsorted(bounds, hashes, side="right")
