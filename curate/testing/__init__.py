"""For tests of code that uses curate: shards made of a few lines, and raters that need no model.

The raters are real raters behind real cards (`card_yaml` writes one). `curate.testing.server` is a server for judges that
ask one: it speaks the OpenAI protocol, answers by a script, and misbehaves as told.
"""

from __future__ import annotations

from curate.testing.inputs import card_yaml, write_shard
from curate.testing.raters import (
    BrightnessRater,
    BuggyPreparation,
    BulkyRater,
    FragileRater,
    HashJudge,
    HashRater,
    MeanPixel,
    Padded,
    PeopleRater,
    ServerRater,
    UnfinishedRater,
    unit_interval,
)

__all__ = [
    "BrightnessRater",
    "BuggyPreparation",
    "BulkyRater",
    "FragileRater",
    "HashJudge",
    "HashRater",
    "MeanPixel",
    "Padded",
    "PeopleRater",
    "ServerRater",
    "UnfinishedRater",
    "card_yaml",
    "unit_interval",
    "write_shard",
]
