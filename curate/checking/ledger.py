"""What can only be seen across rows: rows that repeat or contradict each other, and prompts on both sides of a split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from curate.checking.findings import Finding, Place
from curate.checking.ranks import better_and_worse
from curate.records import plain_prompt


class Ledger:
    """Remembers the preferences and prompts of a dataset by 64-bit hashes: about 200 bytes a row."""

    def __init__(self) -> None:
        self._preferences: dict[int, Place] = {}
        self._prompts: dict[int, str] = {}
        self._leaks: set[int] = set()

    def preference(self, prompt: str, winner: str, loser: str, place: Place) -> Iterator[Finding]:
        """Note that `winner` beat `loser` (digests of their bytes) for `prompt`."""
        said, reverse = hash64(prompt, winner, loser), hash64(prompt, loser, winner)
        if said in self._preferences:
            before = self._preferences[said]
            yield place.warning("duplicate-pair", f"the same pair stands in {_where(before)}", "Keep one of them.")
        if reverse in self._preferences and winner != loser:
            before = self._preferences[reverse]
            yield place.error(
                "contradicting-pair", f"{_where(before)} prefers the other image of the same two", "Keep one of them, or neither."
            )
        self._preferences.setdefault(said, place)

    def ranking(self, prompt: str, digests: Sequence[str], ranks: Sequence[float], place: Place) -> Iterator[Finding]:
        """Note what a list prefers to what, the smallest rank being best; one finding of a rule is enough for a list.

        An image that stands in the list twice prefers nothing: the rule for equal images tells of it.
        """
        counts, said = Counter(digests), set[str]()
        for better, worse in better_and_worse(ranks):
            if counts[digests[better]] == counts[digests[worse]] == 1:
                for finding in self.preference(prompt, digests[better], digests[worse], place):
                    if finding.rule not in said:
                        said.add(finding.rule)
                        yield finding

    def prompt(self, prompt: str, split: str, place: Place) -> Iterator[Finding]:
        """Note that `prompt` is used in `split`; said once for each prompt that leaks."""
        key = hash64(plain_prompt(prompt))
        before = self._prompts.setdefault(key, split)
        if before != split and key not in self._leaks:
            self._leaks.add(key)
            yield place.error(
                "split-leak",
                f"its prompt is in the split '{before}' as well as in '{split}', so the one no longer tests the other",
                "Split by prompt: all rows of a prompt on one side.",
            )


class Uneven:
    """Counts the rows that lack what others have; where none has it, nothing is missing."""

    def __init__(self, rule: str, what: str, fix: str) -> None:
        self._rule, self._what, self._fix = rule, what, fix
        self._rows = self._without = 0
        self._first = Place()

    def note(self, has: bool, place: Place) -> None:
        self._rows += 1
        if not has:
            self._first = self._first if self._without else place
            self._without += 1

    def findings(self) -> Iterator[Finding]:
        """Once, at the first of the rows, when all have been noted."""
        if 0 < self._without < self._rows:
            message = f"it has no {self._what}: {self._without} of {self._rows} have none, and the others have one"
            yield self._first.warning(self._rule, message, self._fix)


def unprompted() -> Uneven:
    """For formats of samples, which need not have prompts: some then have one, and others have none."""
    return Uneven("missing-caption", "prompt", "Leave it out, unless an empty prompt is meant.")


def _where(place: Place) -> str:
    return f"row {place.row} of {place.file}" if place.row is not None else f"{place.file}"


def hash64(*parts: str) -> int:
    """64 bits of a hash of texts, to remember many of them by."""
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
