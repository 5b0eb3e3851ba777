"""Answers are pure functions of the request, and come over the wire as a test works them out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from curate.asks import Ask, Label, Turn
from curate.testing.server import Behaviour, HashOracle, Request, Scripted, ScriptedServer, distribution, hash_oracle
from tests.testing.asking import YES_NO, body_of, encoded, request, yes_no

RED = encoded((255, 0, 0))


def test_an_answer_is_what_the_oracle_says() -> None:
    ask = yes_no(1, RED)
    with ScriptedServer() as server:
        heard = request(server, body_of(ask), headers={"X-Request-Id": "mine-7"})
    asked = Request.of(ask, label_ids=False)
    scripted = hash_oracle(asked)
    assert heard.status == 200
    assert heard.json["id"] == "chatcmpl-mine-7"
    assert heard.json["model"] == "scripted-judge"
    assert len(heard.top) == 20
    assert heard.top.items() <= scripted.logprobs.items()  # type: ignore[union-attr]
    assert list(heard.top.values()) == sorted(heard.top.values(), reverse=True)
    assert heard.choice["message"]["content"] == next(iter(heard.top))
    assert heard.choice["finish_reason"] == "length"  # the one token that was allowed
    assert heard.json["usage"]["completion_tokens"] == 1
    expected = distribution(scripted, asked, ask.labels)
    assert expected.logprobs["yes"] == {one: heard.top[one] for one in ("Yes", " yes")}
    assert expected.floor is None
    assert expected.total == pytest.approx(sum(map(expected.mass, ("yes", "no"))))


def test_labels_by_the_ids_of_their_tokens() -> None:
    labels = (Label(name="odd", spellings=("Yes", "Both")), Label(name="no", spellings=(" no",)))
    ask = replace(yes_no(2), labels=labels)
    with ScriptedServer() as server:
        ids = {}
        for word in ("Yes", "Both", " no", " unheard"):
            heard = request(server, {"prompt": word}, path="/tokenize").json
            assert heard["count"] == len(heard["tokens"])
            ids[word] = heard["tokens"]
        assert [len(ids[word]) for word in ids] == [1, 1, 1, 8]  # what is no token of the model is several
        wanted = [ids[word][0] for word in ("Yes", "Both", " no")]
        plain = request(server, body_of(ask, top_logprobs=0, logprob_token_ids=wanted))
        as_ids = request(server, body_of(ask, top_logprobs=0, logprob_token_ids=wanted, return_tokens_as_token_ids=True))
    expected = distribution(hash_oracle(Request.of(ask)), Request.of(ask), labels)
    assert expected.floor is None
    assert plain.top == expected.logprobs["odd"] | expected.logprobs["no"]
    assert {f"token_id:{ids[word][0]}": log for word, log in plain.top.items()} == as_ids.top


def test_texts_are_cut_at_the_tokens_allowed() -> None:
    ask = Ask(turns=(Turn(role="user", parts=("Describe.",)),), max_tokens=500)
    with ScriptedServer() as server:
        whole = request(server, body_of(ask))
        cut = request(server, body_of(replace(ask, max_tokens=3)))
    assert whole.choice["finish_reason"] == "stop"
    assert whole.choice["message"]["content"] == hash_oracle(Request.of(ask)).text
    assert whole.choice["logprobs"] is None
    assert cut.choice["finish_reason"] == "length"
    assert cut.json["usage"]["completion_tokens"] == 3


def test_text_that_follows_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "why": {"type": "string"},
            "scores": {"type": "array", "minItems": 2, "items": {"type": "integer", "maximum": 25}},
        },
    }
    ask = Ask(turns=(Turn(role="user", parts=("Rate.",)),), max_tokens=500, schema=schema)
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    with ScriptedServer() as server:
        heard = request(server, body_of(ask, response_format=wanted))
    jsonschema = pytest.importorskip("jsonschema")

    jsonschema.validate(json.loads(heard.choice["message"]["content"]), {**schema, "required": ["why", "scores"]})


def test_an_oracle_of_ones_own() -> None:
    def oracle(asked: Request) -> Scripted:
        return Scripted(text=f"{len(asked.pictures)} pictures, {asked.texts[0]}", cached_tokens=5)

    ask = Ask(turns=(Turn(role="user", parts=("hello", RED, RED)),), max_tokens=100)
    with ScriptedServer(oracle) as server:
        heard = request(server, body_of(ask))
    assert heard.choice["message"]["content"] == "2 pictures, hello"
    assert heard.json["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}


def test_a_bug_in_an_oracle_is_not_hidden() -> None:
    def oracle(asked: Request) -> Scripted:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"), ScriptedServer(oracle) as server:
        assert request(server, body_of(yes_no())).status == 500


def test_the_key_is_what_decides_the_answer() -> None:
    ask = yes_no(4, RED)
    key = Request.of(ask).key
    assert re.fullmatch("[0-9a-f]{64}", key)
    others = [
        yes_no(5, RED),
        yes_no(4),
        yes_no(4, encoded((254, 0, 0))),
        yes_no(4, RED, RED),
        replace(ask, seed=1),
        replace(ask, temperature=0.5),
        replace(ask, max_tokens=2),
        replace(ask, turns=(Turn(role="assistant", parts=ask.turns[0].parts[1:]),)),
    ]
    assert len({key, *(Request.of(one).key for one in others)}) == len(others) + 1
    split = Turn(role="user", parts=(RED, *"Question 4: does it match? Answer yes or no.", ""))
    assert Request.of(replace(ask, turns=(split,), labels=())).key == key


def test_the_oracle_is_the_same_in_another_process() -> None:
    program = (
        "from tests.testing.asking import *; from curate.testing.server import *\n"
        "print(hash_oracle(Request.of(yes_no(9, encoded((1, 2, 3))))))"
    )
    said = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1] == f"{hash_oracle(Request.of(yes_no(9, encoded((1, 2, 3)))))}\n"


def test_probability_is_where_the_question_asks_for_it() -> None:
    """Labels get most of it where they stand in the question, little where they do not: that is what probes look for."""
    related = [Request.of(yes_no(number)) for number in range(200)]
    capital = [replace(yes_no(), turns=(Turn(role="user", parts=(f"What is the capital of country {n}?",)),)) for n in range(200)]
    masses = [distribution(hash_oracle(one), one, YES_NO).total for one in related]
    assert min(masses) > 0.59
    assert max(masses) < 1
    assert max(masses) - min(masses) > 0.3
    unrelated = [distribution(hash_oracle(Request.of(one)), Request.of(one), YES_NO).total for one in capital]
    assert max(unrelated) < 0.22


def test_the_colour_of_a_picture_is_named() -> None:
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "green": (10, 240, 5)}
    labels = tuple(Label(name=name, spellings=(name, name.capitalize())) for name in colours)
    with ScriptedServer() as server:
        for name, colour in colours.items():
            for kind in ("PNG", "JPEG"):
                picture = encoded(colour, kind)
                ask = Ask(turns=(Turn(role="user", parts=("What colour is this?", picture)),), labels=labels)
                assert request(server, body_of(ask)).choice["message"]["content"] == name
                assert distribution(hash_oracle(Request.of(ask)), Request.of(ask), labels).mass(name) > 0.95


def test_words_of_ones_own() -> None:
    words = ("superb", "awful")
    with ScriptedServer(HashOracle(words), behaviour=Behaviour(words=words)) as server:
        assert request(server, {"prompt": "superb"}, path="/tokenize").json["count"] == 1
        heard = request(server, body_of(yes_no(1)))
    assert set(words) <= heard.top.keys()
