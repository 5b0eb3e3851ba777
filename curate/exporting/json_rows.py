"""JSON files that hold one list of rows, written row by row: a line each, so that they can be read by eye and by `diff`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
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


class JsonLists:
    """A `JsonList` for each split, which begins with its first row; those in `always` are written without rows too."""

    def __init__(self, folder: Folder, pattern: str = "{}.json", *, always: Sequence[str] = ()) -> None:
        self._folder = folder
        self._pattern = pattern
        self._stack = contextlib.ExitStack()
        self._lists: dict[str, JsonList] = {}
        for split in always:
            self._list(split)

    def write(self, split: str, row: Mapping[str, Any]) -> None:
        self._list(split).write(row)

    @property
    def rows(self) -> dict[str, int]:
        """Rows by split."""
        return {split: one.rows for split, one in self._lists.items()}

    def __enter__(self) -> JsonLists:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, value, trace)

    def _list(self, split: str) -> JsonList:
        if split not in self._lists:
            self._lists[split] = self._stack.enter_context(JsonList(self._folder, self._pattern.format(split)))
        return self._lists[split]
