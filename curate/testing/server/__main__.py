"""The scripted server as a process of its own: `python -m curate.testing.server --latency 0.02 --slots 64`.

Prints its base URL as the first line and serves until it gets SIGTERM or SIGINT.
`/scripted/counts` below its address says what was asked and answered.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from collections.abc import Sequence

from curate.testing.server.behaviour import Behaviour
from curate.testing.server.faults import Fault, listed, spread
from curate.testing.server.running import ScriptedServer


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(prog="python -m curate.testing.server", description="A scripted OpenAI-compatible server.")
    options.add_argument("--port", type=int, default=0, help="0 is any that is free")
    options.add_argument("--model", default=Behaviour().model)
    options.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="how long an answer takes")
    options.add_argument("--slots", type=int, default=None, help="answers made at once; no limit where not said")
    options.add_argument("--key", default=None, help="the key that clients have to show")
    options.add_argument(
        "--fault-share", type=float, default=0.0, metavar="SHARE", help="share of requests whose first try fails"
    )
    options.add_argument(
        "--fault-kinds",
        nargs="+",
        type=Fault,
        metavar="KIND",
        default=[Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.RESET],
        help=", ".join(Fault),
    )
    options.add_argument("--seed", type=int, default=0, help="of the choice of requests that fail")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    chosen = parser().parse_args(arguments)
    behaviour = Behaviour(model=chosen.model, latency=chosen.latency, slots=chosen.slots, key=chosen.key)
    faults = spread(chosen.fault_share, chosen.fault_kinds, seed=chosen.seed) if chosen.fault_share else listed({})
    asyncio.run(_serve(ScriptedServer(faults=faults, behaviour=behaviour, port=chosen.port, bodies=False)))


async def _serve(server: ScriptedServer) -> None:
    started = threading.Event()
    running = asyncio.create_task(server.run(started))
    while not started.is_set() and not running.done():
        await asyncio.sleep(0.01)
    if started.is_set():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.end)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
    await running


if __name__ == "__main__":
    main()
