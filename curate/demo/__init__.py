"""`curate demo`: the whole of it on photographs that ship inside two Python packages, with no download and no GPU.

Each photograph is made worse in known ways and steps (`ladder`), so it is known which of two candidates is the better one.
The candidates go into shards and through the same public functions that a user calls; in the end the demo says how often
the pairs are the right way round, and draws some of them.
"""

from __future__ import annotations

from curate.demo.answers import Verdict
from curate.demo.story import DemoReport, Step, run_demo

__all__ = ["DemoReport", "Step", "Verdict", "run_demo"]
