"""The body of a request says exactly what the ask does, and nothing that the server does not know."""

from __future__ import annotations

import base64
import gc
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.asks import Ask, Picture, Turn
from curate.client.capabilities import Capabilities
from curate.client.payload import Encoder, body_size
from curate.client.swatches import swatch
from tests.client.asking import YES_NO, labelled, written

RED, BLUE = swatch((255, 0, 0)), swatch((0, 0, 255))


def encoder(dialect: dict[str, object] | None = None, **able: Any) -> Encoder:
    return Encoder(Capabilities(**{"served": "judge", "top_logprobs": 20, "schema": True, **able}), dialect or {})


def body(ask: Ask, by: Encoder | None = None, **how: Any) -> Any:
    return json.loads((by or encoder()).body(ask, **how))


def shown(picture: Picture) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode()}"}}


def test_a_text() -> None:
    assert body(written(3)) == {
        "model": "judge",
        "messages": [{"role": "user", "content": "Describe 3."}],
        "max_tokens": 64,
        "temperature": 0.7,
        "seed": 3,
    }


def test_texts_and_pictures_in_their_order() -> None:
    """Texts next to each other are one; a turn without pictures is a text alone."""
    jpeg = Picture(data=b"\xff\xd8\xff\x00", mime="image/jpeg", width=1, height=1)
    ask = Ask(
        turns=(
            Turn(role="system", parts=("Be ", "brief.")),
            Turn(role="user", parts=("One: ", "", RED, "two: ", BLUE, jpeg, "", "Which ", "is better?")),
            Turn(role="assistant", parts=("The first",)),
        )
    )
    assert body(ask)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "One: "},
                shown(RED),
                {"type": "text", "text": "two: "},
                shown(BLUE),
                shown(jpeg),
                {"type": "text", "text": "Which is better?"},
            ],
        },
        {"role": "assistant", "content": "The first"},
    ]


def test_labels_are_asked_for_without_a_grammar() -> None:
    by_rank, by_id = body(labelled(1)), body(labelled(1), token_ids={"Yes": (9,), "No": (4, 7), "no": (9,)})
    assert (by_rank["logprobs"], by_rank["top_logprobs"], by_rank["max_tokens"]) == (True, 20, 1)
    assert "logprob_token_ids" not in by_rank
    assert by_id["logprob_token_ids"] == [9, 4]
    assert by_id["return_tokens_as_token_ids"] is True
    with_schema = Ask(turns=written(1).turns, labels=YES_NO, schema={"type": "object"})
    assert "response_format" not in body(with_schema)


@pytest.mark.parametrize("schema", [True, False])
def test_a_schema_goes_where_it_works(schema: bool) -> None:
    ask = Ask(turns=written(1).turns, schema={"type": "object"}, max_tokens=9)
    sent = body(ask, encoder(schema=schema))
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    assert sent.get("response_format") == (wanted if schema else None)


def test_the_dialect_of_a_server() -> None:
    sent = body(written(1), encoder({"mm_processor_kwargs": {"max_pixels": 9}}, length_field="max_completion_tokens", seed=False))
    assert sent["mm_processor_kwargs"] == {"max_pixels": 9}
    assert sent["max_completion_tokens"] == 64
    assert sent.keys().isdisjoint({"max_tokens", "seed"})


def test_the_dialect_changes_nothing_that_an_ask_decides() -> None:
    assert body(written(1), encoder({"temperature": 2, "seed": 5, "max_tokens": 1}))["temperature"] == 0.7


@given(st.text(), st.text())
def test_any_text_arrives_as_it_is(text: str, model: str) -> None:
    ask = Ask(turns=(Turn(role="user", parts=(RED, text)), Turn(role="system", parts=(text,))))
    sent = body(ask, encoder(served=model))
    assert sent["model"] == model
    assert sent["messages"][0]["content"][1:] == ([{"type": "text", "text": text}] if text else [])
    assert sent["messages"][1]["content"] == text


def test_the_size_is_known_before() -> None:
    for ask in (written(1), labelled(1), Ask(turns=(Turn(role="user", parts=(RED,) * 8 + ("x" * 9999,)),))):
        assert 0 <= body_size(ask) - len(encoder().body(ask)) < 2000


def test_a_picture_is_encoded_once_while_it_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real = base64.b64encode
    monkeypatch.setattr(base64, "b64encode", lambda data: calls.append(data) or real(data))
    by = encoder()
    picture = swatch((1, 2, 3))
    for number in range(5):
        by.body(Ask(turns=(Turn(role="user", parts=(picture, f"question {number}")),)))
    assert len(calls) == 1
    del picture
    gc.collect()
    by.body(Ask(turns=(Turn(role="user", parts=(swatch((1, 2, 3)),)),)))
    assert len(calls) == 2, "nothing is kept of pictures that nobody holds"
