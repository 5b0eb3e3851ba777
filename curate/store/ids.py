"""Sample ids in bulk: 32 hex characters as two 64-bit numbers, so that millions are compared, sorted and found by integers.

An `Ids` array has shape (n, 2) and dtype uint64: the high and the low half. Its order is the order of the hex texts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from curate.records import ID_LENGTH

Ids = NDArray[np.uint64]

ID_BYTES = ID_LENGTH // 2

_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)

_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying by it loses nothing modulo 2**64."""


def pack(ids: Sequence[str]) -> Ids:
    """The ids as numbers. Raises `ValueError` where one is not 32 lower-case hex characters."""
    return unpack_bytes(to_bytes(ids))


def pack_sorted(ids: Collection[str]) -> Ids:
    """The ids as numbers, in order, for `find`."""
    packed = pack(list(ids))
    return packed[order(packed)]


def to_bytes(ids: Sequence[str]) -> bytes:
    """The ids as 16 bytes each, one after the other. Raises `ValueError` where one is not 32 lower-case hex characters."""
    text = "".join(ids)
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if data.hex() != text or any(len(one) != ID_LENGTH for one in ids):
        wrong = next(one for one in ids if len(one) != ID_LENGTH or set(one) - set("0123456789abcdef"))
        raise ValueError(f"an id is {ID_LENGTH} lower-case hex characters, not {wrong!r}")
    return data


def unpack_bytes(data: bytes | memoryview) -> Ids:
    """The numbers of ids that lie as 16 bytes each, one after the other."""
    return np.frombuffer(data, dtype=">u8").reshape(-1, 2).astype(np.uint64)


def hex_bytes(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes written out as lower-case hex: twice as many characters."""
    return _HEX[data].view(np.uint8)


def pair_keys(first: Ids, second: Ids) -> Ids:
    """One 128-bit key for each ordered pair of ids, for looking pairs up; ids are uniform hashes, and so are the keys."""
    return first * _MIX + second


def order(ids: Ids) -> NDArray[np.int64]:
    """The positions that sort the ids; equal ones keep their order."""
    by_high = np.argsort(ids[:, 0], kind="stable")
    high, low = ids[by_high, 0], ids[by_high, 1]
    if ((high[1:] == high[:-1]) & (low[1:] < low[:-1])).any():
        # Different ids with equal high halves: rare, so the sort that is five times slower is kept for them.
        return np.lexsort((ids[:, 1], ids[:, 0]))
    return by_high


def find(within: Ids, wanted: Ids) -> NDArray[np.int64]:
    """For each wanted id its (first) position within sorted ids, -1 where it is not there."""
    found = np.full(len(wanted), -1, dtype=np.int64)
    if not len(within):
        return found
    high, low = np.ascontiguousarray(within[:, 0]), within[:, 1]
    at = np.searchsorted(high, wanted[:, 0])
    waiting = np.arange(len(wanted))
    while len(waiting):
        waiting = waiting[at[waiting] < len(within)]
        waiting = waiting[high[at[waiting]] == wanted[waiting, 0]]
        hit = low[at[waiting]] == wanted[waiting, 1]
        found[waiting[hit]] = at[waiting[hit]]
        # Equal high halves of different ids are rare; the few go on to the next position.
        waiting = waiting[~hit]
        at[waiting] += 1
    return found
