"""The 512 bytes before a tar member, and the extended headers before those: parsing alone, no reading."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

_MOST_SIZE_DIGITS = 20


@dataclass(slots=True)
class Extension:
    """What extended headers say of the member after them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False
    problem: str | None = None


def checksum_fits(header: bytes) -> bool:
    """Whether the bytes of a header add up to the sum it states. Old writers summed signed bytes; that is accepted as well.

    The first try costs a tenth of `sum`: Adler-32's low half is one plus the sum of the bytes (modulo 65521, which an
    ordinary header does not reach), and nearly every writer spells the sum the same way.
    """
    field = header[148:156]
    blank = 8 * ord(" ") - sum(field)  # the field counts as spaces in its own sum
    if field == b"%06o\0 " % ((zlib.adler32(header) & 0xFFFF) - 1 + blank):
        return True
    signed = sum(byte - 256 if byte > 127 else byte for byte in header)
    return parse_number(field) in (sum(header) + blank, signed + blank)


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
