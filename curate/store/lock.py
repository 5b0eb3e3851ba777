"""Exclusive use of a file's name, held by the kernel: a holder that is killed holds nothing any more."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from curate.errors import StoreError
from curate.files import output_errors

_held: set[int] = set()


def _let_go_in_child() -> None:
    """A forked worker must not hold its parent's locks: it may outlive the parent."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, made where missing, for the time of the block.

    With `wait`, waits for another holder to end; else raises `StoreError` naming its process and host.
    """
    with output_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StoreError(
                f"the store {path.parent} is in use by {_holder(path)}; wait for it to end, or write to another store"
            ) from None
        with output_errors(path):
            _sign(descriptor)
        yield
    finally:
        # Not held any more in a forked child that leaves the block, see above.
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)


def _holder(path: Path) -> str:
    try:
        signed = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(signed['pid'])} on {signed['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        # The holder has just taken it and not signed yet.
        return "another process"
