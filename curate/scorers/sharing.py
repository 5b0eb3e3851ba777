"""What raters of one process share: networks that are loaded once, and what was computed of equal inputs."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from curate.cards import CardFile
from curate.records import canonical_json

V = TypeVar("V")
T = TypeVar("T")

_loaded: WeakValueDictionary[Hashable, object] = WeakValueDictionary()
_loading = threading.Lock()


def loaded_once(key: Hashable, load: Callable[[], T]) -> T:
    """What `load` gives, the same object for the same key as long as anybody holds it.

    Hold the object itself: parts of it do not keep it, and the next one to ask would load it again. Several threads may be
    computing with it when another one is given it, so `load` leaves nothing to be set on it afterwards.
    """
    with _loading:
        found = _loaded.get(key)
        if found is None:
            with apart_from_the_caller():
                found = load()
            _loaded[key] = found
        return found  # type: ignore[return-value]


def apart_from_the_caller() -> AbstractContextManager[None]:
    """Where networks are loaded: `curate.scorers.precision.undisturbed`; without torch there is nothing to be disturbed by."""
    if sys.modules.get("torch") is None:
        return nullcontext()
    from curate.scorers.precision import undisturbed

    return undisturbed()


def weights_key(file: CardFile) -> str:
    """Names a card's weights completely, wherever two cards name the same ones."""
    folder = Path(file.where).parent
    weights = {role: one.model_dump(exclude_none=True) for role, one in file.card.weights.items()}
    for one in weights.values():
        if "path" in one:
            one["path"] = str(folder / Path(one["path"]).expanduser())
    return canonical_json(weights)


class Memo(Generic[V]):
    """Remembers what was computed of a key; of many keys the ones used last. Safe for several threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def many(self, keys: Sequence[Hashable], compute: Callable[[Sequence[int]], Sequence[V]]) -> list[V]:
        """The value of each key. `compute` is given positions of distinct keys that are not known, at most once a call.

        Another thread that wants the same keys waits, and then finds them.
        """
        with self._lock:
            found = {key: self._known.pop(key) for key in dict.fromkeys(keys) if key in self._known}
            new: dict[Hashable, int] = {}
            for position, key in enumerate(keys):
                if key not in found:
                    new.setdefault(key, position)
            try:
                if new:
                    found.update(zip(new, compute(list(new.values())), strict=True))
            finally:
                self._known.update(found)
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)
            return [found[key] for key in keys]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()
