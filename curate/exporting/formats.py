"""What a format of exports is, and the ones there are, looked up by name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
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
class SplitNames:
    """The splits that a format has a place for."""

    only: tuple[str, ...] = ()
    """The ones its readers open, where they open no others; empty for any."""
    taken: tuple[str, ...] = ()
    """Names that something else in the folder has."""

    def refuse(self, names: Iterable[str], format_name: str, *where: str) -> None:
        """Raise `CurateError` for a name without a place; `where` are the words that say who asks for it."""
        for name in names:
            if self.only and name not in self.only:
                known = ", ".join(self.only)
                message = f" the split '{name}', and readers of '{format_name}' open these alone: {known}; call it by one of them"
                raise CurateError(*where, message)
            if name in self.taken:
                message = f" the split '{name}', a name that '{format_name}' has for something else; call it otherwise"
                raise CurateError(*where, message)


FOR_DATASETS = SplitNames(taken=("all",))
"""Of formats that `datasets` reads, which calls all splits together so, and loads no folder that has one of that name."""


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
    splits: SplitNames
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
