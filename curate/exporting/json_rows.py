"""JSON files that hold one list of rows, written row by row: a line each, so that they can be read by eye and by `diff`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from curate.exporting.folder import Folder


class JsonList:
    """A file `[row, row …]`; readers load it whole, writing it holds one row.

    Pure ASCII, so that a reader that opens it with any locale reads the same text. No NaN, no infinity.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file = folder.open(name)
        self._file.write(b"[")
        self.rows = 0

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(b"\n" if self.rows == 0 else b",\n")
        self._file.write(json.dumps(row, allow_nan=False).encode("ascii"))
        self.rows += 1

    def close(self) -> None:
        """End the list and list the file."""
        self._file.write(b"\n]\n" if self.rows else b"]\n")
        self._file.close()
        self._folder.add(self._file, self._name)

    def __enter__(self) -> JsonList:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
