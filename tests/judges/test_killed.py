"""`kill -9` of a client at random moments: the next run asks only what has no reply yet, and the table is as if nothing had been.

6 kills in the ordinary tests, 50 with `make soak`.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from curate.client.backend import AHEAD
from curate.store import Store
from curate.store.replies import FILE
from curate.testing.server import Behaviour, Fault, ScriptedServer, spread
from tests.judges.numbered import Witness, write_numbered

SAMPLES = 240

CONCURRENCY = 8

KINDS = (Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.RATE_LIMITED, Fault.TRUNCATED_JSON)
"""What passes: which try a fault meets depends on the kills, so none may decide a value."""

RUN = """
import sys
from curate import api
from curate.serving import Serving

shards, store, url, concurrency = sys.argv[1:]
serving = Serving(url=url, concurrency=int(concurrency), first_wait_seconds=0.02, most_wait_seconds=0.1, canary=False)
api.rate(shards, raters="vqa-yes", store=store, serving=serving, workers=1)
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_numbered(tmp_path_factory.mktemp("shards") / "all", SAMPLES, per_shard=30)


def serving(witness: Witness) -> ScriptedServer:
    return ScriptedServer(witness, faults=spread(0.1, KINDS), behaviour=Behaviour(latency=0.02), bodies=False)


def start(shards: str, store: Path, server: ScriptedServer) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, shards, str(store), server.url, str(CONCURRENCY)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(shards: str, store: Path, server: ScriptedServer) -> None:
    process = start(shards, store, server)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint


def tables(store: Path) -> dict[str, pa.Table]:
    opened = Store.open(store)
    assert opened.verify() == []
    return {kind: opened.export_rows(kind) for kind in ("samples", "ratings")}


def answers(server: ScriptedServer, witness: Witness) -> int:
    """How many answers to questions about samples the server has sent."""
    completed = server.completed
    return sum(completed[one.key] for one in list(witness.requests[True].values()))


def remembered(store: Path) -> int:
    """Questions with a reply that is kept, each kept once."""
    path = store / FILE
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'replies'").fetchone():
            return 0
        rows, keys = connection.execute("SELECT count(*), count(DISTINCT key) FROM replies").fetchone()
    assert rows == keys, "a reply is kept twice"
    return int(rows)


def kill_after(process: subprocess.Popen[str], server: ScriptedServer, witness: Witness, number: int, seconds: float) -> bool:
    """Kill a client some time after the server has sent so many answers; False where the client was done before."""
    until = time.monotonic() + 60
    while process.poll() is None and answers(server, witness) < number and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.soak)])
def test_a_killed_client_loses_no_answer_that_it_kept(shards: str, tmp_path: Path, kills: int) -> None:
    with serving(Witness()) as server:
        finish(shards, tmp_path / "undisturbed", server)
    expected = tables(tmp_path / "undisturbed")
    assert expected["ratings"].num_rows == 3 * SAMPLES

    random_ = random.Random(kills)
    done = interrupted = 0
    while done < kills:
        store = tmp_path / f"killed-{done}"
        with serving(witness := Witness()) as server:
            sent = kept = 0
            # Several kills in a row before the run that is let through, as on a machine that is taken away again and again.
            for _ in range(min(random_.choice([1, 2, 3]), kills - done)):
                done += 1
                process = start(shards, store, server)
                interrupted += kill_after(
                    process, server, witness, sent + random_.randint(0, SAMPLES - kept), random_.uniform(0, 0.05)
                )
                sent_before, kept_before = sent, kept
                sent, kept = answers(server, witness), remembered(store)
                lost = (sent - sent_before) - (kept - kept_before)
                assert 0 <= lost <= CONCURRENCY * AHEAD, "no more is lost than what was under way"
            finish(shards, store, server)
            assert answers(server, witness) - sent == SAMPLES - kept, "what was kept is not asked again, and the rest is, once"
            assert remembered(store) == SAMPLES
            assert not witness.mistaken
        for kind, table in tables(store).items():
            assert table.equals(expected[kind]), f"{kind} differ in {store.name}"
    assert interrupted >= kills // 2, "most kills have to fall into a run, or this shows nothing"
