"""Exports: selections written as the datasets that trainers read, one module for each format.

formats                  what a format is, and the ones there are
options                  what may be set, whatever the format
selection, remaining     what filter, rank and pair wrote, and what of it can still be copied
source, lookup           where samples live, as a protocol; groups with what is known of their samples
pairs, lists, records    pairs, ranked lists and whole records on their way, refused with a reason or read
media, alike             images, compared with what was rated and with each other
folder, readme           the folder, whole or not there; what it says of itself
tables, json_rows        files that are written row by row
ratings                  what raters said, as exports tell it

The formats: shards, parquet, ids, diffusers_dpo, rankdpo, imagereward, hpdv2, hpdv3, win_lose_folders.
"""

from __future__ import annotations

from pathlib import Path

from curate.errors import OutputError
from curate.exporting.folder import refuse_place, writing_folder
from curate.exporting.formats import Exported, find_format, format_names
from curate.exporting.options import Options
from curate.exporting.selection import Selection, refuse_other_kind
from curate.exporting.source import CardInfo, SampleInfo, Source
from curate.records import Funnel

__all__ = [
    "CardInfo",
    "Exported",
    "Options",
    "SampleInfo",
    "Selection",
    "Source",
    "export",
    "find_format",
    "format_names",
    "refuse_other_kind",
    "refuse_place",
]


def export(
    selection: str | Path | Selection,
    source: Source,
    out: str | Path,
    *,
    format: str,  # noqa: A002 — as `--format`
    options: Options | None = None,
) -> list[Funnel]:
    """Write a selection as a dataset of one format into the folder `out`, which appears when it is whole.

    `selection` is a Parquet file of filter, rank or pair. Equal inputs give equal bytes. Rows that the format's readers could
    not use, and media that cannot be read, are left out and counted in the funnels. Raises `CurateError` for a selection of the
    wrong kind, `OutputError` where `out` is not empty, the disk is full, or nothing is left to write.
    """
    from curate.exporting.readme import readme, versions

    options = options or Options()
    form = find_format(format)
    chosen = selection if isinstance(selection, Selection) else Selection(selection)
    chosen.require(form.takes, form.name)
    form.splits.refuse(chosen.splits(), form.name, f"{chosen.path} has")
    with writing_folder(out) as folder:
        exported = form.write(chosen, source, folder, options)
        _refuse_nothing(exported, options)
        cards = source.cards()
        with folder.create("README.md") as file:
            file.write(readme(form, exported, options, cards, digest=folder.digest).encode())
        funnels = [*options.funnels, *exported.funnels]
        folder.finish(
            {
                "format": form.name,
                "version": form.version,
                "splits": dict(exported.splits),
                "funnels": [funnel.as_dict() for funnel in funnels],
                "notes": list(exported.notes),
                "recipe": dict(options.recipe),
                "command": options.command,
                "cards": [
                    {"name": card.name, "fingerprint": card.fingerprint, "licence": card.licence, "commercial": card.commercial}
                    for card in cards
                ],
                "versions": versions(),
            }
        )
    return list(exported.funnels)


def _refuse_nothing(exported: Exported, options: Options) -> None:
    """An empty dataset is a mistake upstream, told now rather than by a trainer: by the first step that left nothing."""
    if any(exported.splits.values()):
        return
    for funnel in (*options.funnels, *exported.funnels):
        if funnel.taken and not funnel.kept:
            reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(funnel.dropped.items()))
            raise OutputError(f"nothing to export: all {funnel.taken:,} {funnel.unit} were left out ({reasons})")
    raise OutputError("nothing to export: it has no rows")
