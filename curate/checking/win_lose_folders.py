"""Checks of paired folders, by the rules of SimpleTuner's `flow_dpo` backends: equal stems, a text for each winner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from curate.checking.files import Problem, escape, files_below, inside, is_file, read_named, relative
from curate.checking.findings import Finding, Place
from curate.checking.images import Look, Looker, competing_findings, image_findings
from curate.checking.ledger import Ledger, no_rows, prompt_findings
from curate.checking.outline import Likeness, Outline
from curate.checking.schema import row_findings, row_schema
from curate.shards.kinds import IMAGES

_UNEQUAL = "latents of unequal shape cannot be compared, and the trainer stops or crops"
_LISTING = "pairs.jsonl"
_SIDES = ("win", "lose")


def looks_like(outline: Outline) -> Likeness | None:
    """The two folders, or what is left of them."""
    there = [side for side in _SIDES if (outline.folder / side).is_dir()]
    folders = "folders" if len(there) > 1 else "folder"
    return Likeness(names=1 + len(there), reason=f"it has the {folders} {' and '.join(there)}") if there else None


def reads(folder: Path, name: str) -> bool:
    """Any image below one of the two folders."""
    return _is_image(name) and any(side in name.split("/")[:-1] for side in _SIDES)


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every pair of folders `win` and `lose`, one of which may be gone."""
    ledger, looker, found = Ledger(), Looker(), 0
    listed, problems = _listed(folder)
    yield from problems
    roots = {relative(folder, path.parent) for side in _SIDES for path in folder.rglob(side) if path.is_dir()}
    for prefix in sorted("" if root == "." else f"{root}/" for root in roots):
        (wins, wrong), (loses, also_wrong) = (_stems(folder, f"{prefix}{side}") for side in _SIDES)
        yield from (*wrong, *also_wrong)
        for stem in sorted(set(wins) | set(loses)):
            if stem in wins and stem in loses:
                yield from _pair(folder, wins[stem], loses[stem], prefix, listed, ledger, looker)
            else:
                alone, side = (wins[stem], "lose") if stem in wins else (loses[stem], "win")
                message = f"there is no image called {stem} in {prefix}{side}"
                yield Place(file=alone).error("missing-file", message, "Put it back, or remove this one.")
        both = [stem for stem in wins if stem in loses]
        yield from _extensions(
            sum(Path(wins[stem]).suffix != Path(loses[stem]).suffix for stem in both), Place(file=f"{prefix}win")
        )
        found += len(both)
    if not found:
        yield no_rows("image that lies in win/ and, by the same name, in lose/")
    yield from _gone(folder, listed)


def _stems(folder: Path, side: str) -> tuple[dict[str, str], list[Finding]]:
    """Images of one folder by stem; and which stems several images have."""
    found: dict[str, str] = {}
    problems: list[Finding] = []
    for path in files_below(folder / side, "", root=folder) if (folder / side).is_dir() else ():
        if not _is_image(path.name):
            continue  # captions, and what trainers keep beside the images, such as SimpleTuner's lists of sizes
        name = relative(folder, path)
        if found.setdefault(path.stem, name) != name:
            message = f"it is called as {found[path.stem]} but for the extension, and only one of the two can be paired"
            problems.append(Place(file=name).error("duplicate-stem", message, "Leave one of them."))
    return found, problems


def _is_image(name: str) -> bool:
    """Whether trainers take a file for an image, who go by its extension."""
    return PurePosixPath(name).suffix.removeprefix(".").lower() in IMAGES


def _pair(
    folder: Path, win: str, lose: str, prefix: str, listed: Mapping[str, Mapping[str, Any]], ledger: Ledger, looker: Looker
) -> Iterator[Finding]:
    place, looks = Place(file=win), list[Look]()
    for name in (win, lose):
        try:
            looks.append(looker.look(read_named(folder, ".", name, place)))
        except Problem as problem:
            yield problem.finding
            return
        yield from image_findings(looks[-1], name, Place(file=name))
    yield from competing_findings(looks, [win, lose], place, _UNEQUAL)
    yield from _against_listing(listed, win, lose, looks, place)
    try:
        prompt, other = (_caption(folder, name) for name in (win, lose))
    except Problem as problem:
        yield problem.finding
        return
    if prompt is None:
        yield place.error("missing-caption", f"{win} has no .txt beside it", "Write the prompt into one.")
        return
    yield from prompt_findings(prompt, place)
    if other is not None and other.strip() != prompt.strip():
        message = "the loser has another caption than the winner, and a pair is two answers to one prompt"
        yield Place(file=lose).error("contradicting-caption", message, "Write the winner's caption, or none.")
    yield from ledger.prompt(prompt, prefix.rstrip("/") or "train", place)
    yield from ledger.preference(prompt, looks[0].digest, looks[1].digest, place)


def _caption(folder: Path, image: str) -> str | None:
    """The text beside an image; None where there is none. Raises `Problem` for one that is not UTF-8."""
    name = str(PurePosixPath(image).with_suffix(".txt"))
    path = inside(folder, name)
    if path is None:
        raise Problem(escape(folder, name, Place(file=name)))
    if not is_file(path):
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise Problem(
            Place(file=name).error("not-text", f"it is not UTF-8 (byte {problem.start})", "Write it in UTF-8.")
        ) from problem


def _extensions(differing: int, place: Place) -> Iterator[Finding]:
    if differing:
        message = f"{differing} pairs have images of two extensions; trainers that pair by whole name do not find the loser"
        yield place.note("unequal-extensions", message, "Nothing, for a trainer that pairs by stem.")


def _listed(folder: Path) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """What `pairs.jsonl` says of each pair, by the path of its winner; and what is wrong with that file."""
    rows: dict[str, dict[str, Any]] = {}
    problems: list[Finding] = []
    path = inside(folder, _LISTING)
    if path is None:
        problems.append(escape(folder, _LISTING, Place(file=_LISTING)))
    elif is_file(path):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            place = Place(file=_LISTING, row=number)
            if isinstance(row, dict) and isinstance(row.get("win"), str):
                rows[row["win"]] = row
                problems.extend(row_findings(row, row_schema("win-lose-folders"), place))
            else:
                problems.append(place.error("not-json", "the line is no row of a pair", "Write the export again."))
    return rows, problems


def _against_listing(
    listed: Mapping[str, Mapping[str, Any]], win_name: str, lose_name: str, looks: list[Look], place: Place
) -> Iterator[Finding]:
    if not listed:
        return
    row = listed.get(win_name)
    if row is None or row.get("lose") != lose_name:
        message = f"{_LISTING} does not list it with {lose_name}, and trainers read every pair of files"
        yield place.error("unlisted-file", message, "Remove the two, or write the export again.")
        return
    win, lose = looks
    if win.digest == row.get("rejected_sha256") and lose.digest == row.get("chosen_sha256"):
        yield place.error("label-flip", f"{_LISTING} says that the image in lose/ won", "Exchange the two files.")
    elif win.digest != row.get("chosen_sha256") or lose.digest != row.get("rejected_sha256"):
        yield place.error("changed-file", f"an image is not the one that {_LISTING} lists", "Write the export again.")
    chosen, rejected = row.get("chosen_value"), row.get("rejected_value")
    if isinstance(chosen, int | float) and isinstance(rejected, int | float) and chosen <= rejected:
        rule, what = ("tie", "equals") if chosen == rejected else ("label-flip", "is smaller than")
        yield place.error(
            rule, f"the winner's value {what} the loser's ({chosen}, {rejected})", "Exchange the two, or leave them out."
        )


def _gone(folder: Path, listed: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Files that the listing promises."""
    for name in sorted({str(row.get(side)) for row in listed.values() for side in _SIDES}):
        path = inside(folder, name)
        if path is None:
            yield escape(folder, name, Place(file=_LISTING))
        elif not is_file(path):
            yield Place(file=name).error("missing-file", f"{_LISTING} lists it, and it does not exist", "Put it back.")
