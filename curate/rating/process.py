"""One decode worker as the engine sees it: a process, a connection, and slots of memory that both can reach."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO, cast

from curate.errors import CurateError
from curate.rating.tasks import SLOT_BYTES, SLOTS, Config, Ready, Slot

START_SECONDS = 120.0
"""A worker that has not come up by then never will; imports from a cold disk are slow."""

MEMORY_FOLDER = "/dev/shm"


class DecodeProcess:
    """A worker process. Dies with its engine: its connection ends, and its slots have no name."""

    def __init__(self, *, threads: int) -> None:
        """`threads` for what it computes with."""
        ours, theirs = socket.socketpair()
        self._files = [_shared_file() for _ in range(SLOTS)]
        self.slots = [Slot(file.fileno()) for file in self._files]
        fds = [theirs.fileno(), *(slot.fd for slot in self.slots)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "curate.rating.worker", *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # Decoders write warnings about broken files there; ours travel as messages.
            # Workers share the cores, where torch would take all of them for each; what the user has set stands.
            env={"OMP_NUM_THREADS": str(threads)}
            | os.environ
            | {"PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)},
        )
        theirs.close()
        self.connection: Connection = Connection(ours.detach())

    def begin(self, config: Config, stopping: threading.Event) -> None:
        """Tell the worker its work, and return once it can do it, or once `stopping` is set.

        Raises `CurateError` with the worker's own words where it cannot.
        """
        ready = Ready()
        try:
            self.connection.send(config)
            until = time.monotonic() + START_SECONDS
            while not self.connection.poll(0.2):
                if stopping.is_set():
                    return
                if time.monotonic() > until:
                    raise CurateError(f"a decode worker did not start within {START_SECONDS:.0f} seconds")
            ready = self.connection.recv()
        except (EOFError, ConnectionError) as problem:
            raise CurateError(f"a decode worker died while starting (exit code {self.exit_code()})") from problem
        if ready.problem is not None:
            raise CurateError(f"a decode worker could not start:\n{ready.problem}")

    def exit_code(self) -> int:
        """How the worker ended; waits for its end."""
        return self._process.wait()

    def stop(self) -> None:
        """End the worker, whatever it is doing, and let its memory go."""
        self.connection.close()
        self._process.kill()
        self._process.wait()
        for slot in self.slots:
            slot.memory.close()
        for file in self._files:
            file.close()


def _shared_file() -> BinaryIO:
    """A file without a name that both processes map: in memory where there is room for it, else in the temporary folder."""
    if os.access(MEMORY_FOLDER, os.W_OK):
        file = _reserved(MEMORY_FOLDER)
        if file is not None:
            return file
    file = _reserved(None)
    if file is None:
        raise CurateError(
            f"there is no room for {SLOT_BYTES >> 20} MiB in {tempfile.gettempdir()}; set TMPDIR to a folder with more"
        )
    return file


def _reserved(folder: str | None) -> BinaryIO | None:
    """A temporary file whose room is reserved, so that writing to its memory cannot fail later; None where there is none."""
    file = cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # noqa: SIM115  it lives as long as the process it is shared with
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, SLOT_BYTES)
        else:
            os.truncate(file.fileno(), SLOT_BYTES)
    except OSError as problem:
        file.close()
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            return None
        raise
    return file
