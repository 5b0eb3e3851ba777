"""What a format of exports is, and the ones there are, looked up by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol

from curate.content import content_files
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
    copies_media: bool
    """False where samples are only named, so that those whose shards are gone may be among them."""
    about: str
    """One sentence: what lies in the folder."""
    use: str
    """Markdown: the exact command line of its consumers, to be run from inside the folder, and what to know of them."""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        """Write the data files; the README and the manifest are written for every format alike."""
        ...


_CONTRACT = ".schema.json"


def format_names() -> list[str]:
    """The names of all formats, sorted: those that have a contract of their rows in `schemas/exports/`."""
    return sorted(file.name.removesuffix(_CONTRACT) for file in content_files("schemas", "exports", _CONTRACT))


def find_format(name: str) -> Format:
    """The format of that name; raises `CurateError` with the nearest name where there is none."""
    names = format_names()
    if name not in names:
        raise CurateError(f"no export format named '{name}'. {nearest(name, names)}")
    found: Format = format_module("curate.exporting", name).FORMAT
    return found


def format_module(package: str, name: str) -> ModuleType:
    """What a package has on the format `name`: `curate.exporting.diffusers_dpo` writes `diffusers-dpo`."""
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")
