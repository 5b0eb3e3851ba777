"""The store: Parquet tables of samples, ratings and comparisons, committed a shard at a time, and one manifest."""

from __future__ import annotations

from curate.store.known import Chances, Known
from curate.store.store import Store
from curate.store.unit import UNFINISHED, SampleRow, StoredCard, Unit, UnitState

__all__ = ["UNFINISHED", "Chances", "Known", "SampleRow", "Store", "StoredCard", "Unit", "UnitState"]
