"""Where selections and datasets are written: which places are refused, and what is said when one cannot be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from curate.errors import CurateError, Option, OutputError
from curate.files import fsync_folder, os_sentence, output_errors, refuse_no_text
from curate.records import Funnel
from curate.scratch import scratch_folder


def speaking_of(place: Path | None, problem: OutputError) -> OutputError:
    """The same error of the system, said of a file that the user named, or else of the temporary folder."""
    cause = problem.__cause__
    if not isinstance(cause, OSError):
        return problem
    folder = Path(tempfile.gettempdir())
    sentence = os_sentence(OSError(cause.errno, os.strerror(cause.errno or 0)), writing=place or folder)
    return OutputError(sentence if place else f"{sentence}; TMPDIR can name another folder for what is made on the way")


def refuse_inside(store: Path, out: str | Path) -> None:
    """Nothing is written into a store but by the store."""
    if Path(out).resolve().is_relative_to(store.resolve()):
        inside = f"{out} lies inside the store {store}, which keeps its folder to itself; name another place for "
        raise OutputError(inside, Option("out"))


@contextmanager
def file_made_at(place: Path) -> Iterator[Path]:
    """Where to make a file that becomes `place`, replacing what was there, when the block is left without an exception.

    Removes what killed processes left beside it. Raises `OutputError` where nothing can be written there.
    """
    with output_errors(place), ExitStack() as stack:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            scratch = stack.enter_context(scratch_folder(place.parent))
        except FileNotFoundError as problem:
            raise OutputError(f"cannot write {place}: nothing can be made in {place.parent}") from problem
        made = scratch / place.name
        yield made
        made.replace(place)
        fsync_folder(place.parent)


def refuse_to_overwrite(place: Path) -> None:
    """A ranking takes the place of an older ranking, and of nothing else."""
    from curate.exporting.selection import Selection

    refuse_no_text(place)
    with output_errors(place):
        is_folder, is_there = place.is_dir(), place.exists()
    if is_folder:
        raise OutputError(f"{place} is a folder; a ranking is one file, such as {place / 'rankings.parquet'}")
    if not is_there:
        return
    try:
        kind = Selection(place).kind
    except CurateError:
        kind = None
    if kind != "rankings":
        raise OutputError(f"{place} exists and is no ranking; name another file for ", Option("out"))


def refuse_nothing(selection: str | Path, funnels: Sequence[Funnel]) -> None:
    """Raise `OutputError` where a selection is empty, with what became of the input."""
    import pyarrow.parquet as pq

    if pq.read_metadata(selection).num_rows:
        return
    told = []
    for funnel in funnels:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(funnel.dropped.items(), key=lambda one: -one[1]))
        told.append(f"of {funnel.taken:,} {funnel.unit} {funnel.kept:,} left" + (f" ({reasons})" if reasons else ""))
    raise OutputError(f"nothing is left to write: {'; '.join(told)}")
