"""One record of a shard, against the ratings that curate added to it; and what only shows across records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from curate.checking.findings import Finding, Place, Severity
from curate.checking.ledger import Uneven, hash64, unprompted
from curate.checking.schema import row_findings, row_schema
from curate.shards.kinds import TEXTS, extension


def field_of(name: str) -> str:
    """What follows the key in the name of a member, as webdataset has it: lower-cased."""
    return PurePosixPath(name).name.partition(".")[2].lower()


class Across:
    """What is remembered of all records: ids of samples by 64-bit hashes, and which of them have ratings and prompts."""

    def __init__(self) -> None:
        self._samples: set[int] = set()
        self._rated = Uneven("missing-ratings", "ratings.json", "Put it back, or remove the record.")
        self._prompted = unprompted()

    def note(self, record: Record) -> Iterator[Finding]:
        """Samples that stand in an earlier record too."""
        self._rated.note(bool(record.said) or record.wrong, record.place)
        self._prompted.note(bool(record.texts), record.place)
        ids = {str(sample["sample"]): place for place, value in record.said for sample in value["samples"]}
        for sample, place in ids.items():
            if hash64(sample) in self._samples:
                message = f"the sample {sample} stands in an earlier record too"
                yield place.warning("duplicate-sample", message, "Keep one of them.")
            self._samples.add(hash64(sample))

    def findings(self) -> Iterator[Finding]:
        """Of records that lack what others have, when all have been noted."""
        yield from self._rated.findings()
        yield from self._prompted.findings()


@dataclass(slots=True, kw_only=True)
class Record:
    """A record while it is read."""

    place: Place
    """Of its first member."""
    digests: dict[str, str | None] = field(default_factory=dict)
    """SHA-256 of its members, by field; None where one was too large to be read whole."""
    held: list[tuple[str, Finding]] = field(default_factory=list)
    """What is wrong with its images, by field."""
    texts: list[bool] = field(default_factory=list)
    """Of each text, whether anything stands in it."""
    said: list[tuple[Place, Mapping[str, Any]]] = field(default_factory=list)
    """The ratings that curate added, and where they stand."""
    wrong: bool = False
    """Whether some of those are not of their contract."""

    def add(self, name: str, data: bytes, *, whole: bool) -> None:
        """Note a member; `whole` says whether all of it is there."""
        self.digests[field_of(name)] = hashlib.sha256(data).hexdigest() if whole else None
        if extension(field_of(name)) in TEXTS:
            self.texts.append(bool(data.strip()))

    def add_ratings(self, value: Mapping[str, Any], place: Place) -> Iterator[Finding]:
        """Note ratings, and say what is wrong with them."""
        found = list(row_findings(value, row_schema("shards"), place))
        if not found:
            self.said.append((place, value))
            found = [one for sample in value["samples"] for rating in sample["ratings"] for one in rating_findings(rating, place)]
        self.wrong |= bool(found)
        yield from found

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it, now that it is over."""
        yield from self._of_images()
        if self.texts and not any(self.texts):
            yield self.place.warning("missing-caption", "its text is empty", "Leave it out, unless an empty prompt is meant.")
        for place, value in self.said:
            yield from self._against(value, place)

    def _of_images(self) -> Iterator[Finding]:
        """Less where no kept sample was made of the image."""
        used = self._used()
        for name, found in self.held:
            if used is None or name in used or found.severity is not Severity.ERROR:
                yield found
            else:
                message = f"{found.message}; no kept sample uses it, but readers that decode every member stop at it"
                yield replace(found, severity=Severity.WARNING, message=message)

    def _used(self) -> set[str] | None:
        """The fields that its kept samples were made of, by the ratings added last; None where that is not said."""
        samples = self.said[-1][1]["samples"] if self.said and not self.wrong else []
        if not samples or not all("media" in sample for sample in samples):
            return None
        return {name.lower() for sample in samples for name in sample["media"]}

    def _against(self, value: Mapping[str, Any], place: Place) -> Iterator[Finding]:
        """Members that are not there, or not those that were rated."""
        digests: Mapping[str, Any] = {name.lower(): digest for name, digest in value.get("members", {}).items()}
        media = {name.lower() for sample in value["samples"] for name in sample.get("media", ())}
        for name in sorted({*digests, *media}):
            if name not in self.digests:
                yield place.error("missing-file", f"the record has no member .{name:.120} any more", "Put it back.")
            elif name in digests and self.digests[name] not in (digests[name], None):
                message = f".{name:.120} is not the member that the record had when it was rated"
                yield place.error("changed-file", message, "Put it back, or rate the record again.")


def rating_findings(rating: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """Whether a value stands beside the status ok, and only there."""
    value, status = rating.get("value"), rating.get("status")
    if (value is not None) != (status == "ok"):
        yield place.error(
            "failure-as-number",
            f"the rating by {rating.get('rater')} has the value {value} and the status {status}",
            "A value stands beside the status ok, and only there.",
        )
