"""Ctrl-C while a server hangs: what is on its way is waited for a little, what came is kept, and the next run asks the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from curate.client.backend import ServerBackend
from curate.serving import Serving
from curate.store import Store
from curate.testing.server import Behaviour, Fault, Plan, ScriptedServer
from tests.judges.numbered import Witness, write_numbered

SAMPLES = 60

QUICK = "from curate.rating import lanes; lanes.GRACE_SECONDS = 2; from curate.cli import main; main()"
"""The command line, with less patience."""


def test_ctrl_c_does_not_wait_for_a_server_that_hangs(tmp_path: Path) -> None:
    shards = write_numbered(tmp_path / "all", SAMPLES, per_shard=SAMPLES)
    witness = Witness()
    hanging = True
    with ScriptedServer() as server:
        ServerBackend(Serving(url=server.url, canary=False)).close()
        examining = frozenset(server.tries)

    def faults(key: str) -> Plan:
        """Every third question about a sample hangs for as long as anybody waits."""
        hangs = hanging and key not in examining and int(key[:4], 16) % 3 == 0
        return Plan(faults=(Fault.HANG,), permanent=True) if hangs else Plan()

    with ScriptedServer(witness, faults=faults, behaviour=Behaviour(), bodies=False) as server:
        command = [sys.executable, "-c", QUICK, "rate", shards, "--rater", "vqa-yes", "--server", server.url]
        command += ["--store", str(tmp_path / "store"), "--workers", "1", "--no-canary", "--concurrency", "16"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        deadline = time.monotonic() + 60
        while len(witness.requests[True]) < SAMPLES // 3 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        stopped = time.monotonic()
        _, said = process.communicate(timeout=100)
        assert time.monotonic() - stopped < 20
        assert process.returncode == 130, said
        assert "Traceback" not in said
        with Store.open(tmp_path / "store") as store:
            kept = len(set(store.export_rows("ratings")["sample"].to_pylist()))
        assert 0 < kept < SAMPLES
        hanging = False
        asked = len(server.chats)
        subprocess.run(command, check=True, capture_output=True, timeout=100)
        assert len(server.chats) - asked < SAMPLES, "what was answered is not asked again"
        with Store.open(tmp_path / "store") as store:
            assert set(store.export_rows("ratings")["status"].to_pylist()) == {"ok"}
