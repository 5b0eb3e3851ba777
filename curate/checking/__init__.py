"""Checks: an export read the way its trainer reads it, with every row named that would hurt.

findings                 what a check says, and where
guess, outline           the format of a folder, by its manifest, else by what each format says that it looks like
integrity                whether an export is still what was written, and nothing else
files, tables, schema    files, rows of Parquet, and rows against the contract of their format
json_files               which JSON files of a folder hold rows
images, named            images as trainers decode them, by themselves and next to their rivals
ledger, ranks, record    what shows across rows, within a list, and within a record of a shard

The formats: shards, parquet, ids, diffusers_dpo, rankdpo, imagereward, hpdv2, hpdv3, win_lose_folders. Each has `check`, which
finds what is wrong, `looks_like`, by which it is guessed, and `reads`, which tells data from what else lies in the folder.

The rules about labels are written from what the trainers do and share no code with the writers: a check that had the writer's
mistake would not find it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from curate.checking.findings import Finding, Place, Severity
from curate.errors import CurateError, Option, nearest
from curate.exporting.formats import format_module, format_names
from curate.names import is_store

__all__ = ["Finding", "Severity", "check"]


def check(folder: str | Path, *, format: str | None = None) -> Iterator[Finding]:  # noqa: A002 — as `--format`
    """Findings about a dataset, as they are found; none for one that is sound.

    Works on folders made by anything: without a manifest and without `format`, the format is guessed, and a note says so. Decodes
    every image. Raises `CurateError`, before the first finding, for a folder or a format that does not exist.
    """
    from curate.checking.guess import guess_format, manifest

    place = Path(folder)
    if not os.path.exists(place):  # noqa: PTH110 — False, too, for a name that no folder can have
        raise CurateError(f"there is no folder {folder}; pass the folder of a dataset")
    if not place.is_dir():
        raise CurateError(f"{folder} is not a folder; pass the folder of a dataset")
    if is_store(place):
        raise CurateError(f"{folder} is a store, which is in no format of datasets; leave ", Option("format"), " out to check it")
    formats = format_names()
    if format is not None and format not in formats:
        raise CurateError(f"no export format named '{format}'. {nearest(format, formats)}")
    said = manifest(place)
    first: list[Finding] = []
    name = format or (said or {}).get("format")
    if name is None:
        name, reason = guess_format(place)
        first.append(Place().note("guessed-format", f"taken for '{name}', because {reason}", "Say --format where that is wrong."))
    if name not in formats:
        raise CurateError(f"{folder} is in the format '{name}', which this version cannot check. {nearest(name, formats)}")
    return _check(place, name, said, first)


def _check(folder: Path, name: str, said: Mapping[str, object] | None, first: list[Finding]) -> Iterator[Finding]:
    from curate.checking.files import links_out
    from curate.checking.integrity import changed_files, changed_since

    yield from first
    files: tuple[Iterator[Finding], ...]
    of_format = format_module(__name__, name)
    if said is None:
        files = (changed_since(folder), links_out(folder, of_format.reads))
    else:
        files = (changed_files(folder, said, of_format.reads),)
    yield from _once(chain(*files, of_format.check(folder)))


def _once(found: Iterator[Finding]) -> Iterator[Finding]:
    """Findings, without those of folders that are links out of the dataset, which every file in there would repeat."""
    links = set[Finding]()
    for one in found:
        if one.rule == "path-escape" and one.row is None:
            if one in links:
                continue
            links.add(one)
        yield one
