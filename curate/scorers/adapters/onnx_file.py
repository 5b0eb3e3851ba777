"""Whether an ONNX model is all in its file, found out by walking its protobuf, without the `onnx` package.

A tensor of an ONNX model may say that its data lie in another file, by a path of the model's choosing. A model that came from
somewhere must not read files of this machine, so such models are refused before a runtime sees them.
"""

from __future__ import annotations

from collections.abc import Iterator

_TENSOR = "tensor"
_INNER = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
"""Which fields of which message of onnx.proto lead to tensors."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of the model, in subgraphs and functions too, lies outside. ValueError for what is no protobuf."""
    waiting = [("model", memoryview(model))]
    while waiting:
        kind, message = waiting.pop()
        for number, value in _fields(message):
            if kind == _TENSOR and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
                return True
            inner = _INNER[kind].get(number)
            if inner and isinstance(value, memoryview):
                waiting.append((inner, value))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a protobuf message; numbers for varints, bytes for what has a length."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == _LENGTH:
            length, place = _varint(message, place)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"no protobuf: wire type {wire}")
        if place + length > len(message):
            raise ValueError("no protobuf: a field ends after its message")
        yield number, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("no protobuf: a number does not end")
