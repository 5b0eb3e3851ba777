"""Side-by-side measurements: each variant in a process of its own, in alternating rounds, reported as ratios of medians.

Shared machines drift, so a number means something only beside another one from the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(kw_only=True)
class Measured:
    """What the rounds of one variant gave."""

    name: str
    seconds: list[float] = field(default_factory=list)
    """For the work alone, without starting Python."""
    count: int = 0
    """Things done in one round."""
    peak_mib: float = 0.0
    """The largest resident memory of any round's process."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        return self.count / self.median


def alternate(module: str, variants: Sequence[str], *, rounds: int) -> dict[str, Measured]:
    """Run `python -m bench.<module> --job VARIANT` for every variant in turn, `rounds` times after one warm-up.

    A job prints one line of JSON: seconds, count, peak_mib.
    """
    measured = {name: Measured(name=name) for name in variants}
    for number in range(rounds + 1):
        for name in variants:
            said = job(module, name)
            if number == 0:
                continue  # the warm-up fills the page cache and compiles the byte code
            one = measured[name]
            one.seconds.append(said["seconds"])
            one.count = int(said["count"])
            one.peak_mib = max(one.peak_mib, said["peak_mib"])
    return measured


def run_job(jobs: Mapping[str, Callable[[], Mapping[str, float]]]) -> None:
    """The command line of a benchmark's own processes: run `--job NAME` and say what it gave, `seconds` and `count` at least."""
    import resource

    parser = argparse.ArgumentParser()
    parser.add_argument("--job", choices=jobs, required=True)
    said = jobs[parser.parse_args().job]()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({**said, "peak_mib": peak / 1024}))


def table(title: str, measured: dict[str, Measured], *, base: str, unit: str) -> str:
    """A Markdown table with each variant's rate and its ratio to `base`."""
    lines = [
        f"### {title}",
        "",
        f"| variant | s min / median / max | {unit}/s | x {base} | peak MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in measured.values():
        spread = f"{min(one.seconds):.2f} / {one.median:.2f} / {max(one.seconds):.2f}"
        ratio = one.rate / measured[base].rate
        lines.append(f"| {one.name} | {spread} | {one.rate:,.0f} | {ratio:.2f} | {one.peak_mib:,.0f} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """One line about where this ran."""
    model = platform.processor() or "unknown processor"
    with Path("/proc/cpuinfo").open() as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}"


def job(module: str, name: str) -> dict[str, float]:
    """What one job said, run in a process of its own."""
    command = [sys.executable, "-m", f"bench.{module}", "--job", name]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    said: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return said
