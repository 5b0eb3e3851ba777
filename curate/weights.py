"""Where the weights of a card lie: on the Hugging Face Hub, at a path of yours, or inside an installed package.

Nothing is loaded here, so nothing of torch is imported. What is missing is one sentence: the repository, its licence, and the
two ways to get it. A revision that the cache holds is used without asking the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Sequence
from fnmatch import fnmatch
from glob import escape
from pathlib import Path, PurePath

from curate.cards import CardFile, Weights
from curate.errors import CardError, MissingExtra, MissingWeights, WeightsError

logger = logging.getLogger(__name__)

UNPINNED = "unpinned"

_READ_BYTES = 1 << 20


def declared(file: CardFile, role: str) -> Weights:
    """What the card says under `weights.<role>`; CardError where it says nothing."""
    try:
        return file.card.weights[role]
    except KeyError:
        raise CardError(f"{file.where}: this engine needs 'weights.{role}', which the card does not give") from None


def weights_file(file: CardFile, role: str, *, offline: bool = False) -> Path:
    """The one file of weights that `weights.<role>` names, on this machine, its SHA-256 checked where the card gives one.

    Raises `CardError` where the card names no file, `WeightsError` where it is not to be had or is another, `MissingExtra`
    where it belongs to a package that is not installed.
    """
    weights = declared(file, role)
    if weights.path and not weights.file:
        found = _own_path(file, weights.path)
        if not found.is_file():
            whence = (
                f": get it from {file.card.source} (licence: {file.card.licence})" if file.shipped and file.card.source else ""
            )
            raise MissingWeights(f"{file.where}, field 'weights.{role}.path': there is no file {found}{whence}")
    elif not weights.file:
        raise CardError(f"{file.where}, field 'weights.{role}.file': say which file holds the weights")
    else:
        found = weights_folder(file, role, (escape(weights.file),), offline=offline) / weights.file
    _check_digest(found, weights, file.where, role)
    return found


def weights_folder(file: CardFile, role: str, *choices: Sequence[str], offline: bool = False) -> Path:
    """A folder on this machine in which every name pattern of the first choice that can be had matches a file.

    `choices` are tried in order, so the preferred format comes first; of a repository nothing else is downloaded.
    """
    weights = declared(file, role)
    if weights.hub:
        return _from_hub(file, role, weights, choices, offline=offline)
    folder = _package_folder(file, weights.package) if weights.package else _own_path(file, weights.path or "")
    if not any(_holds(folder, patterns) for patterns in choices):
        wanted = " or ".join(" and ".join(patterns) for patterns in choices)
        raise WeightsError(f"{file.where}, field 'weights.{role}': {folder} does not hold {wanted}")
    return folder


def _own_path(file: CardFile, path: str) -> Path:
    return Path(file.where).parent / Path(path).expanduser()


def _package_folder(file: CardFile, package: str) -> Path:
    # Found without importing it: a package of weights may have code that is not wanted here.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"the rater '{file.card.name}'", file.card.extra or "all", ModuleNotFoundError(f"no package {package}")
        )
    return Path(spec.submodule_search_locations[0])


def _holds(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether each pattern matches a file in the folder; one that would leave it matches none."""
    return all(
        not PurePath(pattern).is_absolute()
        and ".." not in PurePath(pattern).parts
        and any(found.is_file() for found in folder.glob(pattern))
        for pattern in patterns
    ) and not _missing_parts(folder, patterns)


def _missing_parts(folder: Path, patterns: Sequence[str]) -> set[str]:
    """Of weights in several files, those that an index names and that are not there: a download that was broken off."""
    missing: set[str] = set()
    for index in folder.glob("*.index.json"):
        try:
            parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # whoever loads the weights says what is wrong with it
        wanted = {str(part) for part in parts if any(fnmatch(str(part), pattern) for pattern in patterns)}
        missing |= {part for part in wanted if not (folder / part).is_file()}
    return missing


def _from_hub(file: CardFile, role: str, weights: Weights, choices: Sequence[Sequence[str]], *, offline: bool) -> Path:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if weights.revision == UNPINNED:
        logger.warning("%s: the revision of %s is not pinned, so its ratings may change", file.card.name, weights.hub)
    try:
        # Without patterns: with them, the client would want every match to be here, needed or not.
        folder = _snapshot(weights, None, local=True)
        if any(_holds(folder, patterns) for patterns in choices):
            return folder
    except (LocalEntryNotFoundError, ValueError, OSError):
        pass  # Not in the cache: it is fetched below, or that fails with a reason.
    if offline:
        raise _not_here(file, role, weights, "this run is offline")
    for patterns in choices:
        try:
            folder = _snapshot(weights, patterns, local=False)
        except (HfHubHTTPError, OSError, ValueError) as problem:
            raise _not_here(file, role, weights, first_line(problem)) from problem
        if _holds(folder, patterns):
            return folder
    wanted = " or ".join(" and ".join(patterns) for patterns in choices)
    raise _not_here(file, role, weights, f"the repository does not hold {wanted}")


def _snapshot(weights: Weights, patterns: Sequence[str] | None, *, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    assert weights.hub is not None, "only for weights of the hub"
    revision = None if weights.revision == UNPINNED else weights.revision
    wanted = list(patterns) if patterns else None
    return Path(snapshot_download(weights.hub, revision=revision, allow_patterns=wanted, local_files_only=local))


def first_line(problem: BaseException) -> str:
    """What an exception of another library says, short enough for a sentence."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__


def _not_here(file: CardFile, role: str, weights: Weights, why: str) -> MissingWeights:
    pinned = "" if weights.revision == UNPINNED else f" --revision {weights.revision}"
    return MissingWeights(
        f"the weights of '{file.card.name}' are not on this machine ({why}): get {weights.hub} (licence: {file.card.licence}) "
        f"with `hf download {weights.hub}{pinned}`, or copy the card and set weights.{role}.path to where you have them"
    )


def _check_digest(found: Path, weights: Weights, where: str, role: str) -> None:
    if weights.sha256 is None:
        return
    digest = hashlib.sha256()
    with found.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    if digest.hexdigest() != weights.sha256:
        raise WeightsError(
            f"{where}: the SHA-256 of {found} is {digest.hexdigest()}, not weights.{role}.sha256: it is another file"
        )
