"""All benchmarks, side by side in one run; their tables are printed and kept in docs/log.md.

python -m bench [--rounds 5] [--only reading decoding …]
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import shlex
import sys

from bench.harness import ROOT, machine

BENCHMARKS = ("reading", "decoding", "scoring", "running", "select", "client")
LOG = ROOT / "docs" / "log.md"
HEADING = "## Measurements"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each variant")
    parser.add_argument("--only", nargs="+", choices=(*BENCHMARKS, "gpu"), default=BENCHMARKS)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the table that is selected from")
    options = parser.parse_args()
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    parts = [f"### {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {machine()}\n\n`{command}`\n"]
    for name in options.only:
        text = importlib.import_module(f"bench.{name}").measure(rounds=options.rounds, rows=options.rows)
        print(text, flush=True)
        parts.append(text)
    _keep("\n".join(parts))


def _keep(text: str) -> None:
    """Put the newest measurements first under their heading."""
    log = LOG.read_text(encoding="utf-8")
    before, heading, after = log.partition(HEADING + "\n")
    if not heading:
        before, after = log.rstrip() + "\n\n", ""
    LOG.write_text(f"{before}{HEADING}\n\n{text}\n{after.lstrip()}", encoding="utf-8")


if __name__ == "__main__":
    main()
