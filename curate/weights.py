"""Where the weights of a card lie: on the Hugging Face Hub, at a path of yours, or inside an installed package.

Nothing is loaded here, so nothing of torch is imported. What is missing is one sentence: the repository, its licence, and the
two ways to get it. A revision that the cache holds is used without asking the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import shlex
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import lru_cache
from glob import escape
from pathlib import Path, PurePath

from curate.cards import CardFile, Weights
from curate.errors import CardError, MissingExtra, MissingWeights, WeightsError

logger = logging.getLogger(__name__)

UNPINNED = "unpinned"

_IN_PARTS = (".safetensors", ".bin")
"""How patterns of weights end that may lie in several files, with an index beside them."""


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
            raise MissingWeights(f"{file.where}, field 'weights.{role}.path': there is no file {found}{_whence(file)}")
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
    if any(_holds(folder, patterns) for patterns in choices):
        return folder
    parts = _broken_off(folder, choices)
    lack = f"lacks {parts}, of which the index of its weights tells" if parts else f"does not hold {_in_words(choices)}"
    complaint = f"{file.where}, field 'weights.{role}': {folder} {lack}"
    if weights.package:
        raise WeightsError(complaint)
    ways = f", or copy the card and set weights.{role}.path to where you have it" if (whence := _whence(file)) else ""
    raise MissingWeights(f"{complaint}{whence}{ways}")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file. One that stays as it is is read once in a process; raises `OSError` where it cannot be read."""
    now = path.stat()
    return _sha256(path, (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))


@lru_cache(maxsize=256)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    del state  # by which another content is known
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _whence(file: CardFile) -> str:
    """For a card that ships: where that comes from which should lie at a path of it."""
    if not file.shipped or not file.card.source:
        return ""
    return f": get it from {file.card.source} (licence: {file.card.licence})"


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
    """Whether each pattern matches a file in the folder, and all parts of weights in several files are there."""
    return _matches(folder, patterns) and not _missing_parts(folder, patterns)


def _matches(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether each pattern matches a file in the folder; one that would leave it matches none."""
    return all(
        not PurePath(pattern).is_absolute()
        and ".." not in PurePath(pattern).parts
        and any(found.is_file() for found in folder.glob(pattern))
        for pattern in patterns
    )


def _broken_off(folder: Path, choices: Sequence[Sequence[str]]) -> str:
    """The parts that a folder lacks of the first choice that it holds some of; empty where it is not for a part."""
    matched = next((patterns for patterns in choices if _matches(folder, patterns)), ())
    missing = sorted(_missing_parts(folder, matched))
    return ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")


def _in_words(choices: Sequence[Sequence[str]]) -> str:
    return " or ".join(" and ".join(patterns) for patterns in choices)


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
    why = "this run is offline"
    try:
        # Without patterns: with them, the client would want every match to be here, needed or not.
        folder = _snapshot(weights, None, local=True)
        if any(_holds(folder, patterns) for patterns in choices):
            return folder
        if parts := _broken_off(folder, choices):
            why += f", and of what is here {parts} is missing"
    except (LocalEntryNotFoundError, ValueError, OSError):
        pass  # Not in the cache: it is fetched below, or that fails with a reason.
    if offline:
        raise _not_here(file, role, weights, choices, why)
    for patterns in choices:
        try:
            folder = _snapshot(weights, patterns, local=False)
        except (HfHubHTTPError, OSError, ValueError) as problem:
            raise _not_here(file, role, weights, choices, first_line(problem)) from problem
        if _holds(folder, patterns):
            return folder
    raise _not_here(file, role, weights, choices, f"the repository does not hold {_in_words(choices)}")


def _snapshot(weights: Weights, patterns: Sequence[str] | None, *, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    assert weights.hub is not None, "only for weights of the hub"
    revision = None if weights.revision == UNPINNED else weights.revision
    wanted = _fetched(patterns) if patterns else None
    return Path(snapshot_download(weights.hub, revision=revision, allow_patterns=wanted, local_files_only=local))


def _fetched(patterns: Sequence[str]) -> list[str]:
    """What to fetch, so that weights in several files come with the index of them."""
    return [f"{pattern}*" if "*" in pattern and pattern.endswith(_IN_PARTS) else pattern for pattern in patterns]


def first_line(problem: BaseException) -> str:
    """What an exception of another library says, short enough for a sentence."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__


def _not_here(file: CardFile, role: str, weights: Weights, choices: Sequence[Sequence[str]], why: str) -> MissingWeights:
    pinned = "" if weights.revision == UNPINNED else f" --revision {weights.revision}"
    first = _fetched(choices[0])
    further = dict.fromkeys(pattern for patterns in choices[1:] for pattern in _fetched(patterns) if pattern not in first)
    instead = f" (where it lacks some of these, with{_included(list(further))})" if further else ""
    return MissingWeights(
        f"the weights of '{file.card.name}' are not on this machine ({why}): get {weights.hub} (licence: {file.card.licence}) "
        f"with `hf download {weights.hub}{pinned}{_included(first)}`{instead}, "
        f"or copy the card and set weights.{role}.path to where you have them"
    )


def _included(patterns: Sequence[str]) -> str:
    """Files to fetch, for `hf download`; without them it fetches all that a repository holds."""
    return "".join(f" --include {shlex.quote(pattern)}" for pattern in patterns)


def _check_digest(found: Path, weights: Weights, where: str, role: str) -> None:
    if weights.sha256 is None:
        return
    digest = sha256_of(found)
    if digest != weights.sha256:
        raise WeightsError(f"{where}: the SHA-256 of {found} is {digest}, not weights.{role}.sha256: it is another file")
