"""How answers go out: as they should, and in all the ways in which they should not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from curate.testing.server.behaviour import Behaviour
from curate.testing.server.faults import Fault
from curate.testing.server.replies import Json, encoded, error
from curate.testing.server.wire import Connection, response, response_head

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"

ERRORS = {
    Fault.RATE_LIMITED: (429, "Rate limit reached", "rate_limit_error"),
    Fault.RATE_LIMITED_WAIT: (429, "Rate limit reached", "rate_limit_error"),
    Fault.SERVER_ERROR: (500, "Internal server error", "InternalServerError"),
    Fault.UNAVAILABLE: (503, "The server is overloaded", "ServiceUnavailableError"),
    Fault.BAD_REQUEST: (400, "The request cannot be processed", "BadRequestError"),
}

TRICKLE_SECONDS = 0.05
PIECES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An answer that is ready to be sent."""

    body: Json
    other: Json
    """The answer to another request, for faults that send one."""


def status_of(fault: Fault | None) -> int | None:
    """The status that a client gets to see; None where no answer begins."""
    if fault in ERRORS:
        return ERRORS[fault][0]
    if fault is Fault.BAD_GATEWAY:
        return 502
    return None if fault in (Fault.HANG, Fault.DROPPED) else 200


async def send(connection: Connection, fault: Fault | None, outgoing: Outgoing, behaviour: Behaviour) -> None:
    """Send an answer, or what becomes of it with a fault."""
    if fault in ERRORS:
        status, message, kind = ERRORS[fault]
        wait = f"Retry-After: {behaviour.retry_after}\r\n" if fault is Fault.RATE_LIMITED_WAIT else ""
        connection.send(status, encoded(error(status, message, kind)), more=wait)
    elif fault is Fault.BAD_GATEWAY:
        connection.send(502, HTML, kind="text/html")
    elif fault is Fault.HANG:
        await asyncio.Event().wait()  # until the client goes away
    elif fault is Fault.DROPPED:
        connection.transport.close()
    else:
        await _send_body(connection, fault, outgoing, behaviour)


async def _send_body(connection: Connection, fault: Fault | None, outgoing: Outgoing, behaviour: Behaviour) -> None:
    body = encoded(outgoing.other if fault is Fault.OTHER_REQUEST else outgoing.body)
    if fault is Fault.RESET:
        connection.transport.write(response(200, body)[: -len(body) // 2])
        await asyncio.sleep(TRICKLE_SECONDS)  # the half arrives before the reset does
        connection.reset()
    elif fault is Fault.TRICKLE:
        connection.transport.write(response_head(200, 1 << 30))
        while True:
            connection.transport.write(b" ")
            await asyncio.sleep(TRICKLE_SECONDS)
    elif fault is Fault.DRIP:
        whole = response(200, body)
        step = -(-len(whole) // PIECES)
        for at in range(0, len(whole), step):
            connection.transport.write(whole[at : at + step])
            await asyncio.sleep(behaviour.drip_seconds / PIECES)
    elif fault is Fault.TRUNCATED_JSON:
        connection.send(200, body[: len(body) // 2])
    else:
        connection.send(200, body)
        if fault is Fault.DUPLICATE:
            connection.transport.write(response(200, body))
        elif fault is Fault.STRAY:
            connection.transport.write(response(200, encoded(outgoing.other)))
