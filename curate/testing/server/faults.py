"""What goes wrong with single requests, when, and what has to come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from curate.records import Status


class Fault(StrEnum):
    """A way in which the answer to one try of a request goes wrong."""

    RATE_LIMITED = "429"
    RATE_LIMITED_WAIT = "429-retry-after"
    """With a Retry-After."""
    SERVER_ERROR = "500"
    BAD_GATEWAY = "502-html"
    """With a page of HTML for a body, as proxies have it."""
    UNAVAILABLE = "503"
    HANG = "hang"
    """The connection stays open and nothing comes."""
    DROPPED = "dropped"
    """The connection is closed before the answer begins."""
    RESET = "reset"
    """The connection is reset in the middle of the body."""
    TRICKLE = "trickle"
    """A byte now and then, for ever: timeouts between reads never pass."""
    TRUNCATED_JSON = "truncated-json"
    """A complete answer of HTTP whose body is half a document."""
    NO_CHOICES = "no-choices"
    NO_LOGPROBS = "no-logprobs"
    """`logprobs` is null though they were asked for. Without meaning, and not done, where they were not."""
    WRONG_MODEL = "wrong-model"
    """The answer says that another model made it."""
    OTHER_REQUEST = "other-request"
    """The answer to another request, in place of this one's. Its id tells where the server echoes ids, else nothing does."""
    DUPLICATE = "duplicate"
    """The answer comes twice; whoever keeps the connection finds the second before the next request's answer."""
    STRAY = "stray"
    """After the answer comes one that nobody asked for, to another question; whoever keeps the connection may take it for the
    next request's. An answer carries nothing of its request but, on some servers, the id: a client is safe who never uses a
    connection again on which anything came that was not asked for, or who checks the id."""
    DRIP = "drip"
    """The answer comes in small pieces, within `Behaviour.drip_seconds`."""
    BAD_REQUEST = "400"
    REFUSAL = "refusal"
    """In the field of its own that some servers have."""
    REFUSAL_TEXT = "refusal-text"
    """As an ordinary text."""
    FILTERED = "content-filter"
    """Cut by a filter of contents."""
    LENGTH = "length"
    """Cut at the tokens allowed. Without meaning for asks of labels, whose one token always ends so."""
    LABEL_ABSENT = "label-absent"
    """No label is among the tokens returned. Without meaning, and not done, where no log-probabilities were asked for."""


RETRIED = frozenset({
    *(Fault.RATE_LIMITED, Fault.RATE_LIMITED_WAIT, Fault.SERVER_ERROR, Fault.BAD_GATEWAY, Fault.UNAVAILABLE, Fault.HANG),
    *(Fault.DROPPED, Fault.RESET, Fault.TRICKLE, Fault.TRUNCATED_JSON, Fault.NO_CHOICES, Fault.NO_LOGPROBS, Fault.WRONG_MODEL),
    *(Fault.OTHER_REQUEST,),
})  # fmt: skip
"""Faults after which another try may succeed; where none does, the ask has the status `api_error`."""

HARMLESS = frozenset({Fault.DUPLICATE, Fault.STRAY, Fault.DRIP})
"""Faults with which the right answer comes all the same."""

_FINAL = {
    Fault.BAD_REQUEST: Status.API_ERROR,
    Fault.REFUSAL: Status.REFUSED,
    Fault.FILTERED: Status.REFUSED,
    Fault.LENGTH: Status.TRUNCATED,
    Fault.LABEL_ABSENT: Status.PARSE_ERROR,
}
"""Faults that another try does not mend, for asks of labels and of texts alike where the fault means something to both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes wrong with the tries of one request."""

    faults: tuple[Fault, ...] = ()
    """One for each try, from the first on."""
    permanent: bool = False
    """Whether the last of them stays for ever; else what follows succeeds."""

    def at(self, attempt: int) -> Fault | None:
        """What goes wrong at a try, counted from 0."""
        if attempt < len(self.faults):
            return self.faults[attempt]
        return self.faults[-1] if self.permanent and self.faults else None


NO_PLAN = Plan()

Faults = Callable[[str], Plan]
"""From a request's key to what goes wrong with it."""


def listed(plans: Mapping[str, Plan]) -> Faults:
    """Faults for the requests of these keys, and none for others."""
    return lambda key: plans.get(key, NO_PLAN)


def spread(share: float, kinds: Sequence[Fault], *, times: int = 1, permanent: float = 0.0, seed: int = 0) -> Faults:
    """Faults for that share of all requests, chosen by a hash of the key: which ones and of which kind.

    They happen at the first `times` tries; of the requests concerned, the share `permanent` never succeeds.
    """

    def plan(key: str) -> Plan:
        digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
        chance, kind, stays = (int.from_bytes(digest[at : at + 8]) / 2**64 for at in (0, 8, 16))
        if chance >= share:
            return NO_PLAN
        return Plan(faults=(kinds[int(kind * len(kinds))],) * times, permanent=stays < permanent)

    return plan


def expected(key: str, faults: Faults, *, tries: int, labels: bool) -> Status:
    """What has to become of a request: `ok` where it is answered, else the status in place of a value.

    `tries` is how often the client asks at most, `labels` whether a distribution over labels is asked for rather than a text.
    Supposes a client with timeouts shorter than a hang and longer than a drip, and a server that echoes ids.
    """
    plan = faults(key)
    for attempt in range(tries):
        fault = plan.at(attempt)
        if fault in RETRIED and not (fault is Fault.NO_LOGPROBS and not labels):
            continue
        return _outcome(fault, labels)
    return Status.API_ERROR


def _outcome(fault: Fault | None, labels: bool) -> Status:
    """What an answer comes to that is not asked for again."""
    meaningless = {Fault.LENGTH} if labels else {Fault.NO_LOGPROBS, Fault.LABEL_ABSENT}
    if fault is None or fault in HARMLESS or fault in meaningless:
        return Status.OK
    if fault is Fault.REFUSAL_TEXT:  # with labels, none of them is about to be said; as a text, it is one that refuses
        return Status.PARSE_ERROR if labels else Status.REFUSED
    return _FINAL[fault]
