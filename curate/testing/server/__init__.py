"""A server for tests that speaks the OpenAI protocol for chats with pictures, answers by a script, and misbehaves as told.

It is a real server on 127.0.0.1, with nothing behind it but a pure function of the request (`hash_oracle`, or your own), so a
test works out what a client has to make of each answer: `Request.of(ask)` gives the key and `distribution` the numbers. Faults
go by the request's key (`listed`, `spread`), and `expected` says which status each has to come to. `Behaviour` is what concerns
everybody: speed, slots, what is supported, a model that is swapped, pictures that are mixed up, a server that goes away.

`python -m curate.testing.server --help` runs one by itself.
"""

from __future__ import annotations

from curate.testing.server.behaviour import Behaviour
from curate.testing.server.faults import HARMLESS, RETRIED, Fault, Faults, Plan, expected, listed, spread
from curate.testing.server.oracle import HashOracle, Oracle, Scripted, distribution, hash_oracle, masked, shown
from curate.testing.server.requests import Refused, Request, Seen
from curate.testing.server.running import ScriptedServer
from curate.testing.server.service import Recorded

__all__ = [
    "HARMLESS",
    "RETRIED",
    "Behaviour",
    "Fault",
    "Faults",
    "HashOracle",
    "Oracle",
    "Plan",
    "Recorded",
    "Refused",
    "Request",
    "Scripted",
    "ScriptedServer",
    "Seen",
    "distribution",
    "expected",
    "hash_oracle",
    "listed",
    "masked",
    "shown",
    "spread",
]
