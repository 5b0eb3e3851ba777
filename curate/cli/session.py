"""What every command shares: where it prints, what it logs, and how it ends when something is wrong.

Results go to stdout, as tables or as one JSON document; everything else goes to stderr. Exit codes: 0 done, 1 done and
something is wrong with the data, 2 a mistake that one sentence explains, 130 stopped by the user. A bug keeps its traceback.
"""

from __future__ import annotations

import json
import logging
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from curate.cli.serving import without_keys
from curate.cli.tables import fit, turned, width_for_words
from curate.errors import CurateError, OutputError
from curate.files import os_sentence
from curate.names import STORE_MARK

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LOG = logging.getLogger("curate")
LOG.addHandler(logging.NullHandler())

PLAIN_WIDTH = 140
"""Columns of what goes into a file or a pipe, where there is no window to fit; a table whose words need more takes more."""

_NO_LIMIT = 10_000
"""Columns of a file."""


class Session:
    """One command's way to speak."""

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        from rich.console import Console

        self.quiet = quiet
        self.wanting = False
        """Whether something of the input could not be used: what was made is there, and the exit code is 1."""
        self._as_json = as_json
        self.err: Console = Console(stderr=True, highlight=False)
        self._window = sys.stdout.isatty()
        self._out: Console = Console(highlight=False, width=None if self._window else _NO_LIMIT)

    def tell(self, text: str) -> None:
        """Say something on the way; it is no result."""
        LOG.info("%s", text)
        if not self.quiet:
            self.err.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say something that the user has to know, `--quiet` or not."""
        LOG.warning("%s", text)
        self.err.print(f"note: {text}", markup=False, soft_wrap=True)

    def show(self, part: RenderableType, *, style: str | None = None) -> None:
        """Print a part of the result as soon as it is there; `--json` prints all of it at the end."""
        if not self.quiet and not self._as_json:
            self._print(part, style=style)

    def finish(self, document: Mapping[str, Any], shown: Sequence[RenderableType]) -> None:
        """Print the result: `document` with `--json`, else `shown`, one below the other."""
        LOG.info("%s", json.dumps(document, ensure_ascii=False, default=str))
        if self._as_json:
            sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
            return
        for one in shown:
            self._print(one)

    def _print(self, part: RenderableType, *, style: str | None = None) -> None:
        from rich.table import Table

        width = self._out.width if self._window else max(PLAIN_WIDTH, width_for_words(part))
        if isinstance(part, Table):
            if part.show_header and width_for_words(part) > width:
                part = turned(part)
            fit(part, width)
        self._out.print(part, style=style, markup=False, width=width)


@contextmanager
def session(*, quiet: bool = False, as_json: bool = False, log: str | None = None, store: str | None = None) -> Iterator[Session]:
    """A command from its start to its end; turns what a user can cause into one sentence and an exit code.

    The log goes to the file `log`; without it, into the folder `store` where there is one.
    """
    try:
        with _logging(log, store), _bugs_logged():
            LOG.info("curate %s", shlex.join(without_keys(sys.argv[1:])))
            here = Session(quiet=quiet, as_json=as_json)
            yield here
            if here.wanting:
                raise typer.Exit(1)
    except CurateError as problem:
        raise _stop(f"error: {problem.as_typed()}", 2) from problem
    except KeyboardInterrupt as problem:
        raise _stop("stopped; run the same command to go on", 130) from problem
    except OSError as problem:
        sentence = os_sentence(problem)
        if sentence is None:
            raise
        raise _stop(f"error: {sentence}", 2) from problem


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C says at once that it was heard, since what is under way is waited for a little; a second one waits for nothing."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stderr.write("stopping: what is being judged is waited for a little, and kept; Ctrl-C again to stop at once\n")
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bugs_logged() -> Iterator[None]:
    """Write what ends a command into the log, with the traceback that the terminal is spared; of Ctrl-C there is none to read."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        LOG.warning("stopped by the user")
        raise
    except BaseException:
        LOG.exception("the command ended with an error")
        raise


def _stop(sentence: str, code: int) -> typer.Exit:
    sys.stderr.write(sentence + "\n")
    return typer.Exit(code)


class _LogFile(logging.Handler):
    """A log that keeps its lines until `awaited` is there: a store's log must not lie in its folder before the store does."""

    def __init__(self, path: Path, awaited: Path) -> None:
        super().__init__()
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self._path = path
        self._awaited = awaited
        self._kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(self.format(record) + "\n")
        if not self._awaited.exists():
            return
        lines, self._kept = self._kept, []
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as problem:
            # A log that cannot be written must not end the run it tells of.
            LOG.removeHandler(self)
            sys.stderr.write(f"note: the log {self._path} cannot be written ({problem.strerror}); going on without\n")


@contextmanager
def _logging(log: str | None, store: str | None) -> Iterator[None]:
    """Write the log to the file `log`, else into the folder `store`, else nowhere."""
    if log is not None:
        path = Path(log).absolute()
        if not path.parent.is_dir():
            raise OutputError(f"the folder of --log {log} does not exist; make it first")
        handler = _LogFile(path, path.parent)
    elif store is not None:
        handler = _LogFile(Path(store).absolute() / "log.txt", Path(store).absolute() / STORE_MARK)
    else:
        yield
        return
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
