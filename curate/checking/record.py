"""One record of a shard, against the ratings that curate added to it; and what only shows across records."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from curate.checking.findings import Finding, Place, Severity
from curate.checking.ledger import Uneven, hash64, unprompted
from curate.checking.schema import row_findings, row_schema
from curate.shards.kinds import TEXTS, extension

_RATINGS = re.compile(r"ratings(?:-(?P<number>[1-9][0-9]{0,8}))?\.json")
"""The fields that an export may have chosen for its ratings: the first of these that the record did not have."""


def field_of(name: str) -> str:
    """What follows the key in the name of a member, as webdataset has it: lower-cased."""
    return _as_written(name).lower()


def _as_written(name: str) -> str:
    return PurePosixPath(name).name.partition(".")[2]


class Across:
    """What is remembered of all records: ids of samples by 64-bit hashes, and which of them have ratings and prompts."""

    def __init__(self) -> None:
        self._samples: set[int] = set()
        self._rated = Uneven("missing-ratings", "ratings.json", "Put it back, or remove the record.")
        self._prompted = unprompted()

    def note(self, record: Record) -> Iterator[Finding]:
        """Samples that stand in an earlier record too."""
        self._rated.note(bool(record.ratings), record.place)
        self._prompted.note(bool(record.texts), record.place)
        if record.said is None:
            return
        for sample in dict.fromkeys(str(sample["sample"]) for sample in record.said.value["samples"]):
            if hash64(sample) in self._samples:
                message = f"the sample {sample} stands in an earlier record too"
                yield record.said.place.warning("duplicate-sample", message, "Keep one of them.")
            self._samples.add(hash64(sample))

    def findings(self) -> Iterator[Finding]:
        """Of records that lack what others have, when all have been noted."""
        yield from self._rated.findings()
        yield from self._prompted.findings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """A member that may hold the ratings that curate added."""

    place: Place
    value: Mapping[str, Any]

    @property
    def members(self) -> Mapping[str, Any]:
        """The SHA-256 of every member that the record had before, by field; empty where it does not say."""
        said = self.value.get("members")
        return said if isinstance(said, Mapping) else {}


@dataclass(slots=True, kw_only=True)
class Record:
    """A record while it is read."""

    place: Place
    """Of its first member."""
    digests: dict[str, str | None] = field(default_factory=dict)
    """SHA-256 of its members, by field; None where one was too large to be read whole."""
    held: list[tuple[str, Finding]] = field(default_factory=list)
    """What is wrong with its images and its JSON, by field."""
    texts: list[bool] = field(default_factory=list)
    """Of each text, whether anything stands in it."""
    ratings: dict[str, Ratings] = field(default_factory=dict)
    """What may be ratings that curate added, by field: of the last export, of earlier ones, or somebody else's."""
    said: Ratings | None = None
    """Those of the last export, once the record is over and they are of their contract."""

    def add(self, name: str, data: bytes, *, whole: bool) -> None:
        """Note a member; `whole` says whether all of it is there."""
        self.digests[field_of(name)] = hashlib.sha256(data).hexdigest() if whole else None
        if extension(field_of(name)) in TEXTS:
            self.texts.append(bool(data.strip()))

    def add_json(self, name: str, value: Any, place: Place) -> None:
        """Note a member of JSON, should it be one of ratings."""
        if _RATINGS.fullmatch(_as_written(name)) and isinstance(value, dict) and "samples" in value:
            self.ratings[_as_written(name)] = Ratings(place=place, value=value)

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it, now that it is over."""
        yield from self._of_ratings()
        yield from self._of_members()
        if self.texts and not any(self.texts):
            yield self.place.warning("missing-caption", "its text is empty", "Leave it out, unless an empty prompt is meant.")
        if self.said is not None:
            yield from self._against(self.said)

    def _of_ratings(self) -> Iterator[Finding]:
        """What is wrong with the ratings of the last export by themselves."""
        if self.ratings:
            last = self._last()
            found = list(row_findings(last.value, row_schema("shards"), last.place))
            if not found:
                self.said = last
            yield from found

    def _last(self) -> Ratings:
        """The ratings of the last export: the others were members when it was made, and so it names them.

        By their numbers where that is not said. What earlier exports said of the record need not hold any more.
        """
        named = {name for field, one in self.ratings.items() for name in one.members if name != field}
        return self.ratings[max(self.ratings, key=lambda field: (field not in named, _number(field)))]

    def _of_members(self) -> Iterator[Finding]:
        """Less where no kept sample was made of the image, and where the record was rated although the JSON was none."""
        used, rated = self._used(), self._as_rated()
        for name, found in self.held:
            needed = name not in rated if found.rule == "not-json" else used is None or name in used
            if needed or found.severity is not Severity.ERROR:
                yield found
            else:
                message = f"{found.message}; no kept sample uses it, but readers that decode every member stop at it"
                yield replace(found, severity=Severity.WARNING, message=message)

    def _used(self) -> set[str] | None:
        """The fields that its kept samples were made of, by the ratings added last; None where that is not said."""
        samples = self.said.value["samples"] if self.said else []
        if not samples or not all("media" in sample for sample in samples):
            return None
        return {name.lower() for sample in samples for name in sample["media"]}

    def _as_rated(self) -> set[str]:
        """The fields of members that are those of the record as it was rated."""
        digests = self.said.members if self.said else {}
        return {name.lower() for name, digest in digests.items() if digest == self.digests.get(name.lower())}

    def _against(self, ratings: Ratings) -> Iterator[Finding]:
        """Ratings that are none, and members that are not there, or not those that were rated."""
        place, samples = ratings.place, ratings.value["samples"]
        for rating in [rating for sample in samples for rating in sample["ratings"]]:
            yield from rating_findings(rating, place)
        digests: Mapping[str, Any] = {name.lower(): digest for name, digest in ratings.members.items()}
        media = {name.lower() for sample in samples for name in sample.get("media", ())}
        for name in sorted({*digests, *media}):
            if name not in self.digests:
                yield place.error("missing-file", f"the record has no member .{name:.120} any more", "Put it back.")
            elif name in digests and self.digests[name] not in (digests[name], None):
                message = f".{name:.120} is not the member that the record had when it was rated"
                yield place.error("changed-file", message, "Put it back, or rate the record again.")


def _number(field: str) -> int:
    match = _RATINGS.fullmatch(field)
    return int(match["number"] or 1) if match else 0


def rating_findings(rating: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """Whether a value stands beside the status ok, and only there."""
    value, status = rating.get("value"), rating.get("status")
    if (value is not None) != (status == "ok"):
        yield place.error(
            "failure-as-number",
            f"the rating by {rating.get('rater')} has the value {value} and the status {status}",
            "A value stands beside the status ok, and only there.",
        )
