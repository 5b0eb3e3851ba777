"""A server of chats that costs next to nothing: so many slots, so many seconds an answer, the same answer to everyone.

As with vLLM, the id of an answer holds the one of its request, so clients may use connections again.

    python -m bench.slot_server --slots 64 --seconds 0.02 [--faults 0.05]

Prints its port. A slot is taken again when its answer before was due, not when it was sent, so the server offers slots / seconds
answers a second however late its timers are. Of `--faults` of the requests, every other one is answered 500, at once, and the
others' connections are reset in the middle of the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import struct
from socket import SO_LINGER, SOL_SOCKET

WARM_UP = 100
"""Requests without faults, for a client that first looks at the server."""

MODELS = b'{"object":"list","data":[{"id":"slots","object":"model","owned_by":"bench"}]}'

TOKENS = (("The", -0.2), ("Yes", -2.5), ("No", -3.0))


def answer(name: str) -> bytes:
    """A completion of one token, whose probabilities are never those of the labels alone."""
    tokens = [{"token": token, "logprob": log, "bytes": list(token.encode())} for token, log in TOKENS]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "The", "refusal": None},
        "logprobs": {"content": [{**tokens[0], "top_logprobs": tokens}]},
        "finish_reason": "length",
    }
    usage = {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301}
    return json.dumps({"id": name, "object": "chat.completion", "model": "slots", "choices": [choice], "usage": usage}).encode()


class Slots:
    """When the next answer is due."""

    def __init__(self, slots: int, seconds: float, faults: float) -> None:
        self._free = [0.0] * slots
        self._seconds = seconds
        self._every = round(1 / faults) if faults else 0
        self._asked = 0

    def due(self, now: float) -> float:
        due = max(now, self._free[0]) + self._seconds
        heapq.heapreplace(self._free, due)
        return due

    def fault(self) -> int:
        """0 for none; counts up otherwise."""
        self._asked += 1
        place, rest = divmod(self._asked - WARM_UP, self._every) if self._every and self._asked > WARM_UP else (0, 1)
        return 0 if rest else place


class Connection(asyncio.Protocol):
    """Requests of one connection, one after the other."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Bodies are counted, not kept."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._missing = self._length(self._head[:end]) - (len(self._head) - end - 4)
        if not self._missing:
            head, self._head = self._head, b""
            self._serve(head)

    def _serve(self, head: bytes) -> None:
        if not head.startswith(b"POST"):
            self._send(*((200, MODELS) if b"/models" in head.split(b"\r\n", 1)[0] else (404, b"{}")))
            return
        if b"/chat/" not in head.split(b"\r\n", 1)[0]:
            self._send(404, b"{}")
            return
        name = self._name(head)
        fault = self._slots.fault()
        if fault % 2:
            self._send(500, b'{"error":{"message":"a fault"}}')
            return
        loop = asyncio.get_running_loop()
        loop.call_at(self._slots.due(loop.time()), self._answer, name, bool(fault))

    def _answer(self, name: bytes, broken: bool) -> None:
        if self._transport.is_closing():
            return
        if broken:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")
            # Closing with nothing to linger for sends a reset.
            self._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            return
        self._send(200, BEFORE + name + AFTER)

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self._transport.write(head + body)

    def _name(self, head: bytes) -> bytes:
        """The request's id, as its header says it."""
        start = head.find(REQUEST_ID) + len(REQUEST_ID)
        return head[start : head.index(b"\r\n", start)]

    def _length(self, head: bytes) -> int:
        lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
        return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


REQUEST_ID = b"\r\nX-Request-Id: "

BEFORE, AFTER = answer("chatcmpl-NAME").split(b"NAME")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--faults", type=float, default=0.0)
    options = parser.parse_args()
    slots = Slots(options.slots, options.seconds, options.faults)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(slots), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
