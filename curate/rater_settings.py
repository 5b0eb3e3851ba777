"""What a run decides for its raters, whatever the card, and what they have together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from curate.records import Status

if TYPE_CHECKING:
    from curate.serving import Serving


T = TypeVar("T")


class Shared:
    """What the raters of one run have together, such as a server and its limits: made once, closed at the end."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._stack = ExitStack()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], close: Callable[[T], None]) -> T:
        """What is shared under a key; `make` makes it for the first who asks, `close` ends it with the run."""
        with self._lock:
            if key not in self._made:
                made = make()
                self._made[key] = made
                self._stack.callback(close, made)
            found: T = self._made[key]
            return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run decides for its raters, whatever the card; nothing here may change a value."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` …; several with commas between, for a replica of the rater on each."""
    batch_size: int | None = None
    """None leaves it to the engine."""
    offline: bool = False
    trust: bool = False
    """Allow targets outside `curate.` and code from model repositories."""
    serving: Serving | None = None
    """The server that judges with rubrics ask; None has them run on this machine."""
    replies: Path | None = None
    """The file in which the replies of judges are remembered; None remembers none."""
    again: frozenset[Status] = frozenset()
    """Statuses to which remembered replies must not lead: where they do, it is asked anew."""
    estimate: bool = False
    """Judges with rubrics ask nothing, and count what they would ask."""
    shared: Shared | None = None
    """What the raters of one run have together."""
