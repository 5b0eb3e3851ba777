"""What a format of exports is, and the ones there are, looked up by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from curate.errors import CurateError, nearest
from curate.exporting.folder import Folder
from curate.exporting.options import Options
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source
from curate.records import Funnel


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a format wrote into its folder."""

    funnels: Sequence[Funnel]
    splits: Mapping[str, int]
    """Rows by split."""
    notes: Sequence[str] = ()
    """Sentences for the README about what these data are, that are not the same for every export of the format."""
    data_files: Mapping[str, str] = field(default_factory=dict)
    """For formats that `datasets.load_dataset` reads: the pattern of each split's files."""


class Format(Protocol):
    """A format: who reads it, what it takes, and how it is written."""

    name: str
    version: int
    """Of the rows' schema, `schemas/exports/NAME.schema.json`; raised when a reader would have to change."""
    takes: Kind
    about: str
    """One sentence: what lies in the folder."""
    use: str
    """Markdown: the exact command line of its consumers, to be run from inside the folder, and what to know of them."""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        """Write the data files; the README and the manifest are written for every format alike."""
        ...


_MODULES: Mapping[str, str] = {
    "diffusers-dpo": "curate.exporting.diffusers_dpo",
    "hpdv2": "curate.exporting.hpdv2",
    "hpdv3": "curate.exporting.hpdv3",
    "ids": "curate.exporting.ids",
    "imagereward": "curate.exporting.imagereward",
    "parquet": "curate.exporting.parquet",
    "rankdpo": "curate.exporting.rankdpo",
    "shards": "curate.exporting.shards",
    "win-lose-folders": "curate.exporting.win_lose_folders",
}


def format_names() -> list[str]:
    """The names of all formats, sorted."""
    return sorted(_MODULES)


def find_format(name: str) -> Format:
    """The format of that name; raises `CurateError` with the nearest name where there is none."""
    if name not in _MODULES:
        raise CurateError(f"no export format named '{name}'. {nearest(name, _MODULES)}")
    found: Format = importlib.import_module(_MODULES[name]).FORMAT
    return found
