"""Killed at any moment, stopped at any step, out of space: the store is in the old state or in the new one."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import re
import resource
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from curate.errors import CurateError, OutputError
from curate.records import Status
from curate.store import Store, Unit
from curate.store import commit as commits
from curate.store.tables import KINDS
from tests.store.world import SHARP, add_cards, compare, make_sample, make_store, make_unit, rate

KILLS = 20

# Processes that start in milliseconds, with nothing of the test's own process in them.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.store.test_crash"])


def unit(number: int) -> Unit:
    """A unit whose rows overlap with those of its neighbours."""
    numbers = range(number * 6, number * 6 + 8)
    return make_unit(f"{number:03d}.tar", numbers, comparisons=compare([(numbers[0], numbers[1])]))


def exported(store: Store) -> list[object]:
    return [store.export_rows(kind) for kind in KINDS]


def unlisted(path: Path) -> set[str]:
    """Files of tables that the manifest does not list."""
    listed = Store.open(path)._manifest.file_names()
    return {f"{kind}/{file.name}" for kind in KINDS for file in (path / kind).iterdir()} - listed


def small_unit(number: int) -> Unit:
    """A unit of few files, so that many of them are soon verified."""
    return make_unit(f"{number:03d}.tar", range(number * 6, number * 6 + 8), cards=[SHARP], rejects=())


def commit_missing(path: Path, numbers: Iterable[int], said: Connection | None = None) -> None:
    """Commit the units that are missing, one after the other, and say of each that it is done."""
    with Store.create_or_open(path) as store, store.writing():
        add_cards(store)
        for number in numbers:
            if store.unit_state(f"{number:03d}.tar") is None:
                store.commit(small_unit(number))
                if said:
                    said.send(number)


def commit_for_ever(path: Path, said: Connection) -> None:
    commit_missing(path, itertools.count(), said)


def test_killed_twenty_times_a_rerun_finishes_the_job(tmp_path: Path) -> None:
    rng = random.Random(20)
    path = tmp_path / "killed"
    done: list[int] = []
    for _ in range(KILLS):
        ours, theirs = FORKS.Pipe(duplex=False)
        run = FORKS.Process(target=commit_for_ever, args=(path, theirs))
        run.start()
        theirs.close()
        done.append(ours.recv())  # the first commit of this run, so that the kill falls among commits
        time.sleep(rng.uniform(0, 0.02))
        run.kill()
        run.join()
        with contextlib.suppress(EOFError):
            while True:
                done.append(ours.recv())
        store = Store.open(path)
        assert store.verify() == []
        stored = [number for number in range(len(done) + 2) if store.unit_state(f"{number:03d}.tar") is not None]
        assert stored[: len(done)] == done, "what was said to be committed is there"
        assert len(stored) <= len(done) + 1
        done = stored
    every = range(len(done) + 2)
    commit_missing(path, every)
    assert exported(Store.open(path)) == exported(make_store(tmp_path / "undisturbed", map(small_unit, every)))
    assert unlisted(path) == set()


class StoppedError(Exception):
    """Thrown at a sync point."""


DIED, COMMITTED = 9, 7


def raise_at(point: str) -> Callable[[str], None]:
    def stop(name: str) -> None:
        if name == point:
            raise StoppedError

    return stop


def die_at(point: str, path: Path, change: Unit) -> None:
    """End the process at a sync point of a commit, as a kill would."""
    commits.sync_point = lambda name: os._exit(DIED) if name == point else None
    with Store.open(path) as store, store.writing():
        store.commit(change)


POINTS = [*(f"{kind} written" for kind in KINDS), "files written", "before the transaction ends", "committed"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("how", ["raise", "die"])
def test_stopped_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, how: str) -> None:
    old = [unit(0)]
    change = make_unit("000.tar", range(30, 35), signature="v2", comparisons=compare([(30, 31)]))
    store = make_store(tmp_path / "s", old)

    if how == "raise":
        with monkeypatch.context() as patched, store.writing():
            patched.setattr(commits, "sync_point", raise_at(point))
            with pytest.raises(StoppedError):
                store.commit(change)
    else:
        run = FORKS.Process(target=die_at, args=(point, tmp_path / "s", change))
        run.start()
        run.join()
        assert run.exitcode == DIED
    committed = point == "committed"
    expected = make_store(tmp_path / "expected", [*old, change] if committed else old)
    store = Store.open(tmp_path / "s")
    assert store.verify() == []
    assert exported(store) == exported(expected)
    with store.writing():
        assert unlisted(tmp_path / "s") == set()
        if not committed:
            store.commit(change)
    assert exported(Store.open(tmp_path / "s")) == exported(make_store(tmp_path / "both", [*old, change]))


def test_stopped_in_the_middle_the_same_run_may_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "s", [])
    with store.writing():
        known = store.known(SHARP)
        for point in POINTS[:-1]:
            with monkeypatch.context() as patched:
                patched.setattr(commits, "sync_point", raise_at(point))
                with pytest.raises(StoppedError):
                    store.commit(unit(1))
            assert not len(known), "what was not committed is not known"
        store.commit(unit(1))
        assert len(known) == 8
    assert exported(store) == exported(make_store(tmp_path / "t", [unit(1)]))


def sentence(store: Store, change: Unit) -> str | None:
    """What a commit that cannot be written says; None where it succeeds."""
    try:
        with store.writing():
            store.commit(change)
    except OutputError as problem:
        return str(problem)
    return None


def test_a_full_disk_is_a_sentence_and_leaves_the_store_whole(tmp_path: Path, small_disk: Path) -> None:
    store = make_store(small_disk / "s", [unit(0)])
    before, ballast, where = exported(store), small_disk / "ballast", set()
    # Less and less ballast: the commit fails in one file after the other, and in the manifest, until it fits.
    for free in range(0, 120_000, 4096):
        ballast.unlink(missing_ok=True)
        space = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(space.f_bavail * space.f_frsize - free, 0)))
        said = sentence(store, unit(1))
        if said is None:
            break
        refused = re.fullmatch(r"no space left to write (\S+); free some and run the same command again", said)
        assert refused, said
        where.add(Path(refused[1]).relative_to(small_disk / "s").parts[0])
        assert exported(store) == before
        assert store.verify() == []
    assert {"samples", "ratings", "manifest.sqlite"} <= where
    assert exported(store) == exported(make_store(tmp_path / "t", [unit(0), unit(1)]))


def commit_within(limit: int, path: Path) -> None:
    """Commit a unit in a process whose files may have `limit` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    store = Store.open(path)
    with contextlib.suppress(OSError, CurateError), store.writing():
        store.commit(unit(1))
        os._exit(COMMITTED)


def test_a_limit_on_file_size_does_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = exported(make_store(path, [unit(0)]))
    for limit in (0, 1000, 4000, 12000, 20000, 1 << 20):
        run = FORKS.Process(target=commit_within, args=(limit, path))
        run.start()
        run.join()
        assert run.exitcode == (COMMITTED if limit == 1 << 20 else 0), limit
        assert Store.open(path).verify() == []
        assert (exported(Store.open(path)) == before) == (run.exitcode == 0)


def test_failed_ratings_survive_a_crash_while_they_are_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = rate(range(3), statuses={1: Status.OOM})
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(3), ratings=failed)])
    retried = make_unit("a.tar", range(3), samples=None, rejects=(), ratings=rate([1]), replaces={(make_sample(1).id, SHARP)})
    monkeypatch.setattr(commits, "sync_point", raise_at("files written"))
    with pytest.raises(StoppedError), store.writing():
        store.commit(retried)
    assert sorted(store.ratings(), key=repr) == sorted(failed, key=repr)
    monkeypatch.undo()
    with store.writing():
        store.commit(retried)
    assert sorted(store.ratings(), key=repr) == sorted(rate(range(3)), key=repr)
