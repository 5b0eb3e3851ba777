"""The store: Parquet tables of samples, ratings and comparisons, committed a shard at a time, and one manifest.

store, unit              the way in, and what is handed to it
manifest, lock           one SQLite database that says what the store consists of; one writer at a time
commit                   how a unit becomes durable
tables, table_files      schemas and rows; files with checksums
ids, runs, known         ids in bulk, and what a card has already judged
judgements, reading      the rows that stand, and records made of them again
lookup                   samples and ratings by id, in any order
view, view_table, feeds  the wide table that selecting reads
workspace                a database for more rows than fit in memory
compared                 comparisons, as win rates and strengths of samples
summary, health          what is in the store, and which raters fail or say the same of everything
behind                   cards that have yet to judge what an older one of their name did
replies                  what judges replied, word for word
verify                   every byte read again
copying, made_for        a copy to try something on; a store that vanishes with a refused command
"""

from __future__ import annotations

from curate.store.known import Chances, Known
from curate.store.store import Store
from curate.store.unit import UNFINISHED, SampleRow, StoredCard, Unit, UnitState

__all__ = ["UNFINISHED", "Chances", "Known", "SampleRow", "Store", "StoredCard", "Unit", "UnitState"]
