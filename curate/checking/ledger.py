"""What can only be seen across rows: rows that repeat or contradict each other, and prompts on both sides of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from curate.checking.findings import Finding, Place
from curate.records import plain_prompt


class Ledger:
    """Remembers the preferences and prompts of a dataset by 64-bit hashes: about 200 bytes a row."""

    def __init__(self) -> None:
        self._preferences: dict[int, Place] = {}
        self._prompts: dict[int, str] = {}
        self._leaks: set[int] = set()

    def preference(self, prompt: str, winner: str, loser: str, place: Place) -> Iterator[Finding]:
        """Note that `winner` beat `loser` (digests of their bytes) for `prompt`."""
        said, reverse = _hash(prompt, winner, loser), _hash(prompt, loser, winner)
        if said in self._preferences:
            before = self._preferences[said]
            yield place.warning("duplicate-pair", f"the same pair stands in {_where(before)}", "Keep one of them.")
        if reverse in self._preferences and winner != loser:
            before = self._preferences[reverse]
            yield place.error(
                "contradicting-pair", f"{_where(before)} prefers the other image of the same two", "Keep one of them, or neither."
            )
        self._preferences.setdefault(said, place)

    def prompt(self, prompt: str, split: str, place: Place) -> Iterator[Finding]:
        """Note that `prompt` is used in `split`; said once for each prompt that leaks."""
        key = _hash(plain_prompt(prompt))
        before = self._prompts.setdefault(key, split)
        if before != split and key not in self._leaks:
            self._leaks.add(key)
            yield place.error(
                "split-leak",
                f"its prompt is in the split '{before}' as well as in '{split}', so the one no longer tests the other",
                "Split by prompt: all rows of a prompt on one side.",
            )


def _where(place: Place) -> str:
    return f"row {place.row} of {place.file}" if place.row is not None else f"{place.file}"


def _hash(*parts: str) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "little")


def prompt_findings(prompt: object, place: Place) -> Iterator[Finding]:
    """What is wrong with a row's prompt by itself."""
    if prompt is None:
        yield place.error("missing-caption", "it has no prompt, and its readers expect text", "Leave the row out.")
    elif isinstance(prompt, str) and not prompt.strip():
        yield place.warning("missing-caption", "its prompt is empty", "Leave the row out, unless an empty prompt is meant.")


def no_rows(looked_for: str) -> Finding:
    """The finding for a folder in which nothing of the format was found; `looked_for` says what there should be."""
    return Place().error(
        "no-rows",
        f"it holds no rows of this format: there is no {looked_for}",
        "Name the folder that holds them, or say with --format what they are.",
    )


def too_few_rows(rows: int, batch: int, reader: str, place: Place) -> Iterator[Finding]:
    """Whether a split has fewer rows than the batch of a reader that drops batches that are not full."""
    if rows < batch:
        yield place.warning(
            "too-few-rows",
            f"{rows} rows, and {reader} drops a batch of {batch} that is not full, so it trains on nothing",
            f"Make at least {batch} rows, or train with a smaller batch.",
        )
