"""Pickles of numpy arrays, read without running anything of them, nor of numpy.

A pickle names functions and calls them. Of an array it names numpy's `_reconstruct` (or `_frombuffer`), `ndarray` and `dtype`,
and nothing else; so these names are all that is found here, and what they stand for is not numpy's either: numpy's own take
types, fields and objects that a hostile file could make something of. In their place stand the few lines below, which know plain
numbers of one kind and bytes of the right length. Whatever else a pickle names ends its reading.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS = re.compile(r"([fiu])(1|2|4|8)|b1")
"""Kinds of plain numbers, as numpy writes them."""

_MOST_AXES = 32


class _Dtype:
    """What stands in for a dtype: a kind of plain numbers and, once its state is known, the order of their bytes."""

    __slots__ = ("_kind", "_order")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._order = "="

    def __setstate__(self, state: object) -> None:
        # (version, order, subdtype, names, fields, size, alignment, flags): all but the order are of other kinds of dtype.
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("the state of a dtype is none")
        if any(one not in (None, -1, 0) for one in state[2:]):
            raise pickle.UnpicklingError("an array holds other things than plain numbers")
        self._order = state[1]

    def array(self, raw: object, shape: object, order: str) -> NDArray[Any]:
        """The numbers that some bytes hold; raises `UnpicklingError` where they do not fit the shape."""
        dtype = np.dtype(f"{self._order}{self._kind}")
        sides = shape if isinstance(shape, tuple) else (shape,)
        if len(sides) > _MOST_AXES or any(type(side) is not int or side < 0 for side in sides):
            raise pickle.UnpicklingError("the shape of an array is none")
        if not isinstance(raw, bytes | bytearray) or len(raw) != math.prod(sides) * dtype.itemsize:
            raise pickle.UnpicklingError("the bytes of an array are not as many as its shape says")
        found = np.frombuffer(raw, dtype=dtype).reshape(sides, order="F" if order == "F" else "C")
        return found.astype(dtype.newbyteorder("="))


class _Array:
    """What stands in for an array until its state is known."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        # (version, shape, dtype, whether columns come first, bytes)
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise pickle.UnpicklingError("the state of an array is none")
        self.found = state[2].array(state[4], state[1], "F" if state[3] else "C")


class _Named:
    """What a pickle may name. It has no attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, *_: object) -> object:
        raise pickle.UnpicklingError("a type is called that is only named in pickles of arrays")


class _MakeDtype(_Named):
    def __call__(self, *said: object) -> _Dtype:
        kind = said[0] if said else None
        if not isinstance(kind, str) or not _NUMBERS.fullmatch(kind):
            raise pickle.UnpicklingError("an array holds other things than plain numbers")
        return _Dtype(kind)


class _MakeArray(_Named):
    def __call__(self, *_: object) -> _Array:
        return _Array()


class _FromBuffer(_Named):
    def __call__(self, *said: object) -> _Array:
        if len(said) != 4 or not isinstance(said[1], _Dtype):
            raise pickle.UnpicklingError("the state of an array is none")
        made = _Array()
        made.found = said[1].array(said[0], said[2], str(said[3]))
        return made


_KNOWN: dict[tuple[str, str], _Named] = {
    ("numpy", "ndarray"): _Named(),
    ("numpy", "dtype"): _MakeDtype(),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _MakeArray() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer() for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return _KNOWN[module, name]


class NoWeights(ValueError):
    """What a file holds is not made into weights; the text says why, to people."""


def texts_of(names: Iterable[object]) -> list[str]:
    """Names as texts; raises `NoWeights` where two of them are the same text, such as 1 and "1"."""
    texts: dict[str, None] = {}
    for text in map(str, names):
        if text in texts:
            raise NoWeights(f"two of its names are both written '{text[:80]}'")
        texts[text] = None
    return list(texts)


class Loaded(NamedTuple):
    """What a pickle holds."""

    arrays: dict[str, NDArray[Any]]
    left_out: list[str]
    """Names of what is none."""


def arrays_of(file: IO[bytes]) -> Loaded:
    """The arrays of a pickle: one, called `array`, or those of a mapping, by its keys.

    Empty where it holds none. Raises `pickle.UnpicklingError` for a pickle that names anything but arrays of plain numbers,
    `NoWeights` for one in which two names are the same text, and what a damaged one raises (EOFError, ValueError, IndexError …).
    """
    loaded = _ArraysOnly(file).load()
    named = loaded if isinstance(loaded, dict) else {"array": loaded}
    texts = texts_of(named)
    found = zip(texts, named.values(), strict=True)
    arrays = {text: one.found for text, one in found if isinstance(one, _Array) and one.found is not None}
    return Loaded(arrays, [text for text in texts if text not in arrays])
