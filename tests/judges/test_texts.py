"""Judges trained on texts of others: the texts are found by what they are, and decide what is asked and what it is called."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from curate import api
from curate.cards import CardFile, load_card
from curate.errors import MissingWeights, WeightsError
from curate.judges.rater import RubricRater
from curate.rater_settings import Settings
from curate.serving import Serving
from curate.testing import card_yaml
from curate.testing.server import Request, Scripted, ScriptedServer, hash_oracle
from tests.judges.numbered import quick, write_numbered

SOURCE = "question = f'Does it show {caption}, from 0 to {10}?'\n"
TEXT = "Does it show {caption}, from 0 to {10}?"

SERVED = Settings(serving=Serving(url="http://127.0.0.1:9/v1", model="a-judge"), estimate=True)
"""A server that is never asked."""


def judge(folder: Path, *, text: str = TEXT, source: str = SOURCE, **weights: Any) -> CardFile:
    """A card whose one message is somebody else's text, in a file beside it."""
    declared = {"role": "question", "length": len(text), "sha256": digest(text), "origin": "ask.py of somebody"}
    message = {"user": [{"picture": "response"}, {"fixed": "question", "slots": {"{caption}": "{prompt}"}}]}
    call = {"name": "call", "messages": [message], "reads": {"number": {}}}
    args = {"rubric": "calls", "texts": {"question": declared}, "calls": [call], "values": {"overall": "call.value"}}
    where = card_yaml(
        folder / "judge.yaml",
        name="judge",
        target="curate.judges.rater:RubricRater",
        takes={"response": "image", "prompt": "required"},
        args=args,
        weights={
            "model": {"hub": "somebody/judge", "revision": "unpinned"},
            "question": {"path": "ask.py", "sha256": digest(source)},
            **weights,
        },
    )
    return load_card(str(where))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def card(tmp_path: Path) -> CardFile:
    (tmp_path / "ask.py").write_text(SOURCE)
    return judge(tmp_path)


def test_the_server_is_asked_in_the_words_of_the_text(card: CardFile, tmp_path: Path) -> None:
    asked: set[str] = set()

    def answer(request: Request) -> Scripted:
        asked.update(request.texts)
        return hash_oracle(request) if request.logprobs or request.schema else Scripted(text="7")

    shards = write_numbered(tmp_path / "shards", 2)
    with ScriptedServer(answer) as server:
        report = api.rate(shards, raters=card.where, store=tmp_path / "store", serving=quick(server), workers=0)
    assert report.statuses["judge"] == {"ok": 2}
    assert {f"Does it show number {number} of all, from 0 to {{10}}?" for number in range(2)} <= asked


def test_with_a_server_only_the_weights_of_texts_are_left(card: CardFile) -> None:
    resolved = RubricRater.resolved(card, SERVED).card
    assert set(resolved.weights) == {"question"}
    assert resolved.args["judge"] == {"name": "a-judge", "revision": None}


def test_the_text_is_part_of_what_decides_a_number(card: CardFile, tmp_path: Path) -> None:
    other = judge(tmp_path, text=TEXT + " Really?")
    prints = {RubricRater.resolved(one, SERVED).card.fingerprint for one in (card, other)}
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("source", "error", "complaint"),
    [
        (None, MissingWeights, "there is no file .*ask.py.*; the text of 39 characters .* it is in ask.py of somebody"),
        ("question = 'another'\n", WeightsError, "it is another file; the text of 39 characters"),
    ],
)
def test_a_text_that_is_not_there_is_one_sentence(
    tmp_path: Path, source: str | None, error: type[WeightsError], complaint: str
) -> None:
    file = judge(tmp_path)
    if source is not None:
        (tmp_path / "ask.py").write_text(source)
    with pytest.raises(error, match=complaint):
        RubricRater(RubricRater.resolved(file, SERVED), SERVED)


def test_another_text_in_the_right_file_does_not_get_through(tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(SOURCE)
    with pytest.raises(WeightsError, match="does not hold the text that is meant"):
        RubricRater(judge(tmp_path, text=TEXT + "."), SERVED)
