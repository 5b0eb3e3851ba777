"""Lists of JSON by split: valid JSON at any number of rows, and one file for each split that has any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.exporting.folder import writing_folder
from curate.exporting.json_rows import JsonLists


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_lists_are_json_and_counted(rows: int, tmp_path: Path) -> None:
    with writing_folder(tmp_path / "out") as folder:
        with JsonLists(folder, "sub/{}.json", always=("train", "test")) as lists:
            for number in range(rows):
                lists.write("test", {"number": number, "text": "ü\n"})
            if rows:
                lists.write("extra", {})
        assert lists.rows == {"train": 0, "test": rows, **({"extra": 1} if rows else {})}
        folder.finish({})
    found = {path.stem: json.loads(path.read_text(encoding="ascii")) for path in (tmp_path / "out" / "sub").iterdir()}
    assert found.pop("train") == []
    assert found.pop("test") == [{"number": number, "text": "ü\n"} for number in range(rows)]
    assert found == ({"extra": [{}]} if rows else {})
