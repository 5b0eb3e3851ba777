"""The images that a row names by their paths, as several formats do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curate.checking.files import Problem, read_named
from curate.checking.findings import Finding, Place
from curate.checking.images import Look, Looker, competing_findings, image_findings


def named_images(
    folder: Path, base: str, names: Sequence[str], place: Place, looker: Looker, *, unequal_sizes: str
) -> tuple[list[Look] | None, list[Finding]]:
    """What was seen of a row's images, None where one of them cannot be had; and what is wrong with them."""
    looks: list[Look] = []
    found: list[Finding] = []
    for name in names:
        try:
            looks.append(looker.look(read_named(folder, base, name, place)))
        except Problem as problem:
            found.append(problem.finding)
        else:
            found.extend(image_findings(looks[-1], name, place))
    if len(looks) < len(names):
        return None, found
    return looks, [*found, *competing_findings(looks, names, place, unequal_sizes)]
