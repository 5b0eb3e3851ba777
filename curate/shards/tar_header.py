"""The 512 bytes before a tar member, and the extended headers before those: parsing alone, no reading."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from zlib import adler32

HEADER_BYTES = 512

NAME_BYTES = 100
"""The longest name that a header holds without prefix or extended header."""

_MOST_SIZE_DIGITS = 20
_FILE = ord("0")
_NUMBER_ENDS = (0, ord(" "))


@dataclass(slots=True)
class Extension:
    """What extended headers say of the member after them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False
    problem: str | None = None


def plain_file(header: bytes) -> tuple[str, int] | None:
    """Name and size, where a header is a file's, sound, and of the form that nearly every writer gives it; else None.

    That form: a name of 1 to 100 bytes of UTF-8 without prefix, and a size of eleven octal digits. All that the functions
    below can read in such a header is its name, its size and that its checksum fits, and they read the same.
    """
    if len(header) < HEADER_BYTES or header[156] != _FILE or header[345] or not header[0] or header[135] not in _NUMBER_ENDS:
        return None
    digits = header[124:135]
    if not digits.isdigit() or adler32(header) & 0xFFFF != _adler_for(header[148:156]):
        return None
    try:
        return header[:NAME_BYTES].partition(b"\0")[0].decode(), int(digits, 8)
    except ValueError:  # it is not UTF-8; a digit is 8 or 9
        return None


def checksum_fits(header: bytes) -> bool:
    """Whether the bytes of a header add up to the sum it states. Old writers summed signed bytes; that is accepted as well."""
    field = header[148:156]
    if adler32(header) & 0xFFFF == _adler_for(field):
        return True
    blank = 8 * ord(" ") - sum(field)  # the field counts as spaces in its own sum
    signed = sum(byte - 256 if byte > 127 else byte for byte in header)
    return parse_number(field) in (sum(header) + blank, signed + blank)


@lru_cache(maxsize=4096)
def _adler_for(field: bytes) -> int:
    """The low half of a header's Adler-32, if the header adds up to the sum that its checksum field states; -1 if it cannot.

    That half is one plus the sum of all bytes, modulo 65521, which an ordinary header does not reach; it costs a tenth of
    `sum`. The headers of a shard have few different sums, so that the answers are kept.
    """
    stated = parse_number(field)
    return -1 if stated is None else 1 + stated - 8 * ord(" ") + sum(field)


def parse_number(field: bytes) -> int | None:
    """A number of a header: octal digits, or base 256 where the first bit is set; None where it is neither."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:
        return None


def short_name(header: bytes) -> bytes:
    """The name in the header itself, its ustar prefix included."""
    name = header[:100].partition(b"\0")[0]
    if header[345] and header[257:263] == b"ustar\0":
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def pax_records(data: bytes) -> dict[bytes, bytes] | None:
    """The records `LENGTH KEY=VALUE\\n` of a pax header; None where they do not hold together."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data) and data[start]:
        space = data.find(b" ", start, start + _MOST_SIZE_DIGITS)
        digits = data[start:space]
        if space < 0 or not digits.isdigit():
            return None
        end = start + int(digits)
        record = data[space + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if end > len(data) or not equals or record[-1:] != b"\n":
            return None
        records[key] = value
        start = end
    return records


def apply_pax(records: dict[bytes, bytes], extension: Extension) -> None:
    """Note in `extension` what pax records say of the next member."""
    extension.sparse = extension.sparse or any(key.startswith(b"GNU.sparse.") for key in records)
    if name := records.get(b"GNU.sparse.name") or records.get(b"path"):
        extension.name = name
    size = records.get(b"size")
    if size:
        if size.isdigit() and len(size) <= _MOST_SIZE_DIGITS:
            extension.size = int(size)
        else:
            extension.problem = f"its extended header states the size {size[:_MOST_SIZE_DIGITS]!r}"
