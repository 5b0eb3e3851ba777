"""The records that flow through curate: samples, ratings, comparisons, rankings' rows and pairs.

They hold what things are and where their bytes lie, never the bytes themselves, so a table of them stays small.
Values are larger-is-better everywhere; a failure is a status and never a number.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, NamedTuple

MediaKind = Literal["image", "video", "text"]

ID_LENGTH = 32
"""Hex characters of a sample or group id: 128 bits of SHA-256."""


class Status(StrEnum):
    """What became of one judgement. Only `OK` carries a value."""

    OK = "ok"
    PENDING = "pending"
    """Asked, not answered yet (people, batch servers). Never stored: the next run asks again or collects."""
    DECODE_ERROR = "decode_error"
    """The bytes are not a readable medium."""
    DECODE_CRASH = "decode_crash"
    """The decoder process died on this sample."""
    DECODE_TIMEOUT = "decode_timeout"
    """The decoder did not finish in time."""
    TOO_LARGE = "too_large"
    """Over a limit on bytes, pixels, sides or frames."""
    UNREADABLE = "unreadable"
    """The shard that holds it is gone or was changed."""
    UNSUPPORTED_MEDIA = "unsupported_media"
    """A medium this rater does not take (a video for an image rater)."""
    MISSING_PROMPT = "missing_prompt"
    MISSING_CONDITION = "missing_condition"
    """A condition the rater needs (source, mask, reference …) is not in the sample."""
    NOT_APPLICABLE = "not_applicable"
    """The question has no answer for this sample (no quoted text to look for)."""
    TRUNCATED = "truncated"
    """The input or the answer was cut, so the value would not mean what it says."""
    PARSE_ERROR = "parse_error"
    REFUSED = "refused"
    API_ERROR = "api_error"
    NAN = "nan"
    """The rater returned NaN or infinity."""
    OOM = "oom"
    """Out of memory, even for this sample alone."""
    ERROR = "error"
    """The rater raised; the message is kept."""


TRANSIENT = frozenset({Status.UNREADABLE, Status.API_ERROR, Status.OOM, Status.DECODE_TIMEOUT, Status.DECODE_CRASH, Status.ERROR})
"""Failures that another try may mend; `--retry transient` asks exactly these again."""

_REASON = re.compile(r"([a-z][a-z0-9_]{0,39}):")


def reason_of(status: Status | str, detail: str | None) -> str:
    """By what failures are counted: the status, and the short reason that the detail begins with ('parse_error: low_mass').

    The status alone where the detail begins with no word of small letters, digits and '_' before a colon.
    """
    found = _REASON.match(detail or "")
    return str(status) if found is None else f"{status}: {found[1]}"


class RejectReason(StrEnum):
    """Why members of a shard did not become a sample."""

    TRUNCATED = "truncated"
    """The archive ends before this record is known to be whole."""
    KEY_REAPPEARS = "key_reappears"
    """Members of one key are not adjacent, so no part of it can be trusted to be whole."""
    DUPLICATE_MEMBER = "duplicate_member"
    """One key holds the same member twice."""
    MISSING_RESPONSE = "missing_response"
    """The layout's response is not among the members."""
    BAD_METADATA = "bad_metadata"
    """JSON or text that cannot be read, or is over its limit."""
    BAD_NAME = "bad_name"
    """A member name that is not UTF-8, is empty, or is over its limit."""
    TOO_LARGE = "too_large"
    """A member or a record over its limit."""
    NOT_A_FILE = "not_a_file"
    """A link, a device, or another entry that is not a plain file."""


class Member(NamedTuple):
    """A file inside a shard, and where its bytes lie. A tuple, since a shard has so many that making them is felt."""

    name: str
    """Its full name in the archive."""
    field: str
    """What follows the key: the part after the first dot of the base name, lower-cased (webdataset's rule)."""
    offset: int
    """First byte of the contents in the (decompressed) shard."""
    length: int
    """Bytes of contents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One medium of a sample: a member of its shard, or a text taken from metadata."""

    kind: MediaKind
    digest: str
    """SHA-256 of the bytes (of the UTF-8 text for texts), hex."""
    member: Member | None = None
    """None for a text that came from a field of JSON."""
    text: str | None = None
    """The text itself; None for images and videos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One response to one request, and where its parts lie."""

    id: str
    """From the request and the response, not from where they lie: see `sample_id`."""
    group: str
    """Samples that answer the same request share it: see `group_id`."""
    shard: str
    """Path or URL of the shard it was read from."""
    key: str
    """The record's key in the shard; several samples share it when one record holds several responses."""
    index: int
    """Position of the response within its record, from 0."""
    prompt: str | None
    response: tuple[Media, ...]
    """One medium, or several views that are judged as one."""
    conditions: Mapping[str, Media] = field(default_factory=dict)
    """By role: source, mask, reference, low_res, image …"""
    generator: str | None = None
    """Name of the model that made the response, where the layout knows it."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """Judgements that came with the data, by name."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Everything else the record's JSON said, untouched."""
    members: tuple[Member, ...] = ()
    """Every member of the record, side files included, in archive order."""

    @property
    def kind(self) -> MediaKind:
        return self.response[0].kind

    @property
    def digest(self) -> str:
        """Digest of the response; equal for byte-identical responses."""
        if len(self.response) == 1:
            return self.response[0].digest
        return _digest("views", *(medium.digest for medium in self.response))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Members that did not become a sample, and why. Counted and kept in the store, never dropped silently."""

    shard: str
    key: str
    reason: RejectReason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What a rater said of one sample on one dimension."""

    sample: str
    rater: str
    """Name of the card."""
    card: str
    """Fingerprint of the card: the provenance of the value."""
    dimension: str
    value: float | None
    """Larger is better. None unless the status is ok."""
    spread: float | None = None
    """Standard deviation in the units of the value, where the rater knows it."""
    status: Status = Status.OK
    detail: str | None = None
    """Why it is not ok."""
    rationale: str | None = None
    """What the rater said for its value, where it speaks."""

    def __post_init__(self) -> None:
        _check_value(self.value, self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a rater said of two samples of a group on one dimension."""

    group: str
    first: str
    second: str
    """Sample ids, `first` < `second`: a comparison is stored once, whichever order was asked."""
    rater: str
    card: str
    dimension: str
    value: float | None
    """Probability that `first` is better; 0.5 is a tie. None unless the status is ok."""
    orders_agree: bool | None = None
    """Whether asking in both orders named the same winner; None when only one order was asked."""
    position_bias: float | None = None
    """p_AB(1) + p_BA(1) - 1, where p_XY(1) is the probability that the one shown first is better when X is: from -1 to 1.

    Above 0 the rater prefers what it sees first. None when only one order was asked.
    """
    status: Status = Status.OK
    detail: str | None = None
    rationale: str | None = None

    def __post_init__(self) -> None:
        _check_value(self.value, self.status)
        if not self.first < self.second:
            raise ValueError("a comparison names its samples in order, and two different ones")
        if self.value is not None and not 0 <= self.value <= 1:
            raise ValueError(f"a comparison's value is a probability, not {self.value}")
        if self.position_bias is not None and not -1 <= self.position_bias <= 1:
            raise ValueError(f"a position bias lies between -1 and 1, and is not {self.position_bias}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A preference: `chosen` beat `rejected`."""

    group: str
    chosen: str
    rejected: str
    margin: float
    """Difference of their values in the units of the expression; 0 only where ties were asked for."""
    chosen_value: float
    rejected_value: float
    confidence: float | None = None
    """Share of the raters asked that agree, where several were."""
    split: str = "train"


def _check_value(value: float | None, status: Status) -> None:
    if (value is not None) != (status is Status.OK):
        raise ValueError(f"a judgement has a value exactly when its status is ok, not {value!r} with {status}")
    if value is not None and not math.isfinite(value):
        raise ValueError(f"a value is finite, not {value}; use the status 'nan'")


def _digest(*parts: str) -> str:
    """SHA-256 over length-prefixed parts, so that no two different lists of parts collide by concatenation."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _request(prompt: str | None, conditions: Mapping[str, Media]) -> list[str]:
    prompt_part = "no prompt" if prompt is None else f"prompt:{prompt}"
    return [prompt_part, *(f"{role}:{conditions[role].digest}" for role in sorted(conditions))]


def sample_id(
    prompt: str | None, conditions: Mapping[str, Media], response: Iterable[Media], *, group_name: str | None = None
) -> str:
    """The id of a response to a request: of their contents alone, so that moving or renaming changes nothing.

    Where the data names its groups, the name is part of the request: one picture in two named groups is two samples.
    """
    parts = [*_request(prompt, conditions), *(f"response:{medium.kind}:{medium.digest}" for medium in response)]
    if group_name is not None:
        parts.append(f"group name:{group_name}")
    return _digest("sample", *parts)[:ID_LENGTH]


def group_id(
    prompt: str | None, conditions: Mapping[str, Media], *, name: str | None = None, responses: Iterable[str] = ()
) -> str:
    """The id of a group: of the request; of `name` where the data names its groups.

    A request without prompt and conditions says nothing, so the group is then the record's own `responses` (digests):
    candidates that lie under one key still compete, samples of different records do not.
    """
    if name is not None:
        return _digest("named group", name)[:ID_LENGTH]
    if prompt is None and not conditions:
        return _digest("group of responses", *sorted(responses))[:ID_LENGTH]
    return _digest("group", *_request(prompt, conditions))[:ID_LENGTH]


def plain_prompt(prompt: str) -> str:
    """What two prompts have in common that no model tells apart: in NFC, every run of white space one space, none at the ends.

    Splits go by it, here and in SQL (`curate.select.splits`); groups do not, whose samples answer the very same request.
    """
    return " ".join(unicodedata.normalize("NFC", prompt).split())


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(kw_only=True)
class Funnel:
    """What went into a step, what came out, and what was dropped for which reason; the three always add up."""

    step: str
    """What was done, as a verb: 'read', 'filter', 'pair' …"""
    unit: str
    """What is counted: 'records', 'samples', 'groups', 'candidate pairs' …"""
    taken: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """By reason."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count `count` as dropped for `reason`; zero leaves no line."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    @property
    def adds_up(self) -> bool:
        return self.taken == self.kept + sum(self.dropped.values())

    def as_dict(self) -> dict[str, Any]:
        return {"step": self.step, "unit": self.unit, "in": self.taken, "out": self.kept, "dropped": dict(self.dropped)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterColumns:
    """Where a rater's values stand in a `View`."""

    card: str
    """Fingerprint of the card whose ratings the columns hold."""
    main: str
    """The dimension that the bare rater name means."""
    dimensions: tuple[str, ...]
    """Each is a DOUBLE column named 'rater.dimension', null where the rating is not ok.

    Of a rater of pairs a dimension is the sample's win rate within its group, and 'dimension_strength' its Bradley-Terry
    strength (see `curate.standings`); null where no comparison with another of the group is ok. Where one is, the dimension
    counts as ok in the sample's status.
    """
    spreads: tuple[str, ...] = ()
    """Dimensions that also have a DOUBLE column 'rater.dimension.spread'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The store as one wide table, for selecting: one row per distinct sample, ordered by group, then by sample id.

    Columns: `row` (int64, 0 …, the position), `group_no` (int64, dense, 0 …), the sample fields in `FIELDS`, and for each
    rater its values, spreads, and `rater.status` (VARCHAR: the worst status over its dimensions, null when never asked).
    """

    path: str
    """A Parquet file."""
    rows: int
    groups: int
    raters: Mapping[str, RaterColumns]
    repeated: int = 0
    """Records that hold a sample which another record holds as well, whose key, generator and metadata are those of the view."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Samples that are not in it because their shard is gone, by shard; only where that was asked for."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        "sample",
        "group",
        "shard",
        "key",
        "index",
        "prompt",
        "generator",
        "kind",
        "format",
        "width",
        "height",
        "bytes",
        "digest",
        "layout",
    )
    """VARCHAR but for index, width, height, bytes (BIGINT). `digest` is equal for byte-identical responses."""
