"""The messages between the engine and a decode worker.

Both ends are ours and run the same version, so they are pickled. Media and arrays do not travel in messages: they lie in
a slot of shared memory, and the messages say where. What does not fit a slot travels inside the message.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from curate.cards import CardFile
from curate.frames import Frames
from curate.rater_settings import Settings
from curate.raters import Preparation, Value
from curate.records import Sample, Status
from curate.shards.limits import MediaLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.raters import Made

HEADER_BYTES = 64
"""The start of a slot: the position of the task under way, a little-endian int64, so that a dead worker's last task is known."""

INBOX_BYTES = 8 << 20
OUTBOX_BYTES = 16 << 20
SLOT_BYTES = HEADER_BYTES + INBOX_BYTES + OUTBOX_BYTES

SLOTS = 2
"""For each worker: while it is busy with one, the next tasks already lie in the other."""

IDLE = -1
"""In a slot's header: no task is under way."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a slot's inbox."""

    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a worker needs to know once, at its start."""

    raters: tuple[CardFile, ...]
    """Cards of the raters that live in workers."""
    settings: Settings
    preparations: tuple[Preparation, ...]
    limits: MediaLimits
    memory_bytes: int | None
    """Most memory the worker may take, where the system can enforce it."""
    threads: int
    """For what computes in it with several: its share of the cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One sample, and what is wanted of it."""

    number: int
    probe: str | None
    """The role whose size and format are asked for; None where it has none (texts)."""
    media: Mapping[str, Span | bytes]
    """Encoded media by role; no more than is needed."""
    decode: frozenset[str] = frozenset()
    """The roles to decode."""
    videos: Mapping[str, str] = field(default_factory=dict)
    """Of those roles, and of the one to probe, the ones that are videos, with the digest of each."""
    prepare: tuple[int, ...] = ()
    """Positions in the preparations of the config."""
    raters: tuple[int, ...] = ()
    """Positions in the raters of the config."""
    sample: Sample | None = None
    """For raters that live in workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A preparation's result: in the slot's outbox, or inline where that was full."""

    preparation: int
    shape: tuple[int, ...]
    dtype: str
    start: int = 0
    inline: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The frames of a video that a rater sees."""

    positions: tuple[int, ...]
    """In the order of presentation, from 0."""
    total: int
    """Frames of the whole video."""

    def __str__(self) -> str:
        return f"frames {', '.join(map(str, self.positions))} of {self.total}"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one task."""

    number: int
    width: int | None = None
    height: int | None = None
    format: str | None = None
    failures: dict[str, tuple[Status, str]] = field(default_factory=dict)
    """By role: why it could not be decoded."""
    prepared: list[Prepared] = field(default_factory=list)
    arrays: dict[int, Made] = field(default_factory=dict)
    """Filled in by the engine's side: the prepared results, copied out of the slot, by position of the preparation."""
    watched: dict[tuple[str, Frames], Watched] = field(default_factory=dict)
    """Of videos, by role and what was asked for: the frames that were looked at."""
    judgements: dict[int, Mapping[str, Value]] = field(default_factory=dict)
    """By position of the rater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A message to a worker: tasks whose media lie in one slot."""

    slot: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A message from a worker: the outcomes of a job, in its order."""

    slot: int
    outcomes: list[Outcome]
    seconds: float
    """How long the worker was busy with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker's first message: it can work, or why it cannot."""

    problem: str | None = None


class Slot:
    """A piece of memory that the engine and one worker share, backed by an unnamed file that dies with them."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.memory = mmap.mmap(fd, SLOT_BYTES)

    @property
    def under_way(self) -> int:
        """The position of the task being worked on, or `IDLE`."""
        return int.from_bytes(self.memory[:8], "little", signed=True)

    @under_way.setter
    def under_way(self, position: int) -> None:
        self.memory[:8] = position.to_bytes(8, "little", signed=True)

    def write(self, start: int, data: bytes | memoryview) -> None:
        """Put bytes into the inbox."""
        self.memory[HEADER_BYTES + start : HEADER_BYTES + start + len(data)] = bytes(data)

    def read(self, span: Span) -> bytes:
        """Bytes of the inbox."""
        return self.memory[HEADER_BYTES + span.start : HEADER_BYTES + span.start + span.length]

    def outbox(self) -> NDArray[np.uint8]:
        """The outbox as an array over the shared memory itself, not a copy."""
        import numpy as np

        return np.frombuffer(self.memory, dtype=np.uint8, offset=HEADER_BYTES + INBOX_BYTES, count=OUTBOX_BYTES)
