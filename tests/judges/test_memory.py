"""What is remembered of replies: sound ones word for word, damaged ones not at all, and which weights they came from."""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from curate import api
from curate.asks import Ask, Distribution, Model, Reply, Turn
from curate.errors import ServerError, StoreError
from curate.judges.memory import Memory
from curate.judges.served import may_be_same
from curate.store import Store
from curate.store.replies import FILE, Replies
from curate.testing.server import Behaviour, ScriptedServer
from tests.judges.numbered import EXAMINING, pairs_card, quick, ratings, write_groups, write_numbered

MODEL = Model(name="a-judge")
SAMPLES = 6

GOOD = '{"text": "x", "finish": "stop"'

DAMAGED = [
    '{"text": "a',
    "[]",
    "null",
    "5",
    "[" * 100_000,
    b"\xff\xfe",
    '{"text": 5, "finish": "stop"}',
    '{"text": "x"}',
    '{"text": "x", "finish": "perhaps"}',
    GOOD + ', "refusal": 1}',
    GOOD + ', "logprobs": 5, "floor": null}',
    GOOD + ', "logprobs": {"yes": {"Yes": -1.0}}}',
    GOOD + ', "logprobs": {"yes": 1.0}, "floor": null}',
    GOOD + ', "logprobs": {"yes": {"Yes": "a"}}, "floor": null}',
    GOOD + ', "logprobs": {"yes": {"Yes": NaN}}, "floor": null}',
    GOOD + ', "logprobs": {"yes": {"Yes": 0.5}}, "floor": null}',
    GOOD + ', "logprobs": {"yes": {"Yes": true}}, "floor": null}',
    GOOD + ', "logprobs": {"yes": {"Yes": -1.0}}, "floor": "x"}',
    GOOD + ', "logprobs": {"yes": {"Yes": -1' + "0" * 400 + '}}, "floor": null}',
]


def damage(path: Path, reply: str | bytes, *, rows: str = "1 = 1") -> None:
    """Put something else where a reply is; bytes as text, as a disk would."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE replies SET reply = CAST(? AS TEXT) WHERE {rows}", (reply,))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_numbered(tmp_path_factory.mktemp("shards") / "all", SAMPLES)


ASK = Ask(turns=(Turn(role="user", parts=("?",)),))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="half of a character: \ud800", finish="length", refusal="no"),
        Reply(distribution=Distribution(logprobs={"yes": {"Yes": -0.25, " Yes": -math.inf}, "no": {}}, floor=-7.5)),
        Reply(distribution=Distribution(logprobs={"yes": {"Yes": 0.0}})),
    ],
)
def test_a_reply_comes_back_as_it_was(tmp_path: Path, reply: Reply) -> None:
    with Replies(tmp_path / FILE) as replies:
        memory = Memory(replies, card="card", model=MODEL)
        memory.add(memory.key(ASK), reply)
        found = memory.find(memory.key(ASK))
        assert found is not None
        assert (found.text, found.finish, found.refusal) == (reply.text, reply.finish, reply.refusal)
        assert found.distribution == reply.distribution
        assert memory.unreadable == 0


@pytest.mark.parametrize("damaged", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_reply_is_none_until_it_is_asked_for_again(tmp_path: Path, damaged: str | bytes) -> None:
    with Replies(tmp_path / FILE) as replies:
        memory = Memory(replies, card="card", model=MODEL)
        key = memory.key(ASK)
        memory.add(key, Reply(text="7"))
        damage(tmp_path / FILE, damaged)
        assert memory.find(key) is None
        assert memory.find(key) is None
        assert memory.unreadable == 1, "it is one, however often it is looked for"
        memory.add(key, Reply(text="8"))
        found = memory.find(key)
        assert found is not None
        assert found.text == "8"


def empty_store(path: Path) -> None:
    Store.create_or_open(path).close()


def without_ratings(store: Path) -> None:
    """Forget the ratings of a store and keep its replies: a run that was killed early leaves it so."""
    replies = (store / FILE).read_bytes()
    shutil.rmtree(store)
    empty_store(store)
    (store / FILE).write_bytes(replies)


@pytest.mark.parametrize("damaged", ["null", GOOD + ', "logprobs": 5, "floor": null}', b"\xff\xfe"])
def test_one_damaged_row_costs_one_question(shards: str, tmp_path: Path, damaged: str | bytes) -> None:
    store = tmp_path / "store"
    with ScriptedServer() as server:
        api.rate(shards, raters="vqa-yes", store=store, serving=quick(server), workers=0)
        expected = {place: row["value"] for place, row in ratings(store, "vqa-yes").items()}
        without_ratings(store)
        damage(store / FILE, damaged, rows="rowid = 3")
        foreseen = api.estimate(shards, raters="vqa-yes", store=store, serving=quick(server), workers=0)
        assert foreseen.told["vqa-yes"]["requests"] == 1
        before = len(server.chats)
        report = api.rate(shards, raters="vqa-yes", store=store, serving=quick(server), workers=0)
        assert len(server.chats) - before == EXAMINING + 1
    said = "vqa-yes: 1 remembered reply is damaged, and counted as not yet asked for"
    assert said in report.notices
    assert said in foreseen.notices
    assert {place: row["value"] for place, row in ratings(store, "vqa-yes").items()} == expected


def test_a_damaged_file_is_said(shards: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    empty_store(store)
    (store / FILE).write_bytes(b"hello world" * 100)
    with ScriptedServer() as server, pytest.raises(StoreError, match="move the file away to have them asked again"):
        api.rate(shards, raters="vqa-yes", store=store, serving=quick(server), workers=0)


# Which weights answer under a name.


def served(root: str | None) -> ScriptedServer:
    return ScriptedServer(behaviour=Behaviour(root=root))


def test_other_weights_under_the_same_name_are_not_mixed_in(tmp_path: Path) -> None:
    groups = write_groups(tmp_path / "shards", 2)
    card, store = pairs_card(tmp_path), tmp_path / "store"
    with served("org/weights-A") as server:
        api.rate(groups, raters="vqa-yes", store=store, serving=quick(server), workers=0)
    before = ratings(store, "vqa-yes")
    with served("org/weights-B") as server:
        wrong = (
            f"the server's 'scripted-judge' is org/weights-B now, and what {store / FILE} holds under this name came from "
            "org/weights-A; .*: serve it under a name of its own, rate into another store, or, where the weights are the same, .*"
        )
        for rater in ("again=vqa-yes", card):
            with pytest.raises(ServerError, match=wrong):
                api.rate(groups, raters=rater, store=store, serving=quick(server), workers=0)
        api.rate(groups, raters="vqa-yes", store=tmp_path / "other", serving=quick(server), workers=0)
    assert ratings(store, "vqa-yes") == before
    with served("org/weights-A") as server:
        api.rate(groups, raters=card, store=store, serving=quick(server), workers=0)
    (of_a, of_pairs) = api.show(store).document["costs"]
    assert of_a["cost"]["backends"] == of_pairs["cost"]["backends"] == "vllm 0.33.0 with org/weights-A"


def test_weights_that_were_moved_are_the_same(tmp_path: Path) -> None:
    """A second run asks for nothing again, and what the weights were called first stands."""
    groups, store = write_groups(tmp_path / "shards", 2), tmp_path / "store"
    for root in ("org/weights-A", "/models/weights-A", "/cache/models--org--weights-A/snapshots/0123abcd"):
        with served(root) as server:
            api.rate(groups, raters=["vqa-yes", "again=vqa-yes"], store=store, serving=quick(server), workers=0)
            without_ratings(store)
            if root != "org/weights-A":
                assert len(server.chats) == EXAMINING
    with Replies(store / FILE) as replies:
        assert replies.weights_of(Model(name="scripted-judge")) == "org/weights-A"


HUB = "/home/someone/.cache/huggingface/hub/models--org--name/snapshots/"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("org/name", "org/name", True),
        ("org/name", "other/name", False),
        ("org/name", "name", False),
        ("org/name", "/models/name", True),
        ("org/name", "/models/name/", True),
        ("org/name", "s3://bucket/models/name", True),
        ("org/name", "/models/name-2", False),
        ("/a/name", "/b/c/name", True),
        ("org/name", f"{HUB}0123", True),
        ("other/name", f"{HUB}0123", False),
        ("/models/name", f"{HUB}0123/", True),
        ("name", f"{HUB.replace('org--', '')}0123", True),
        (f"{HUB}0123", f"/mnt{HUB}0123", True),
        (f"{HUB}0123", f"{HUB}4567", False),
        ("/runs/a/checkpoint-500", "/moved/a/checkpoint-500", True),
        ("/runs/a/checkpoint-500", "/runs/b/checkpoint-500", False),
        ("/runs/a/merged/7", "/runs/b/merged/7", False),
        ("/model", "/b/model", False),
    ],
)
def test_which_weights_may_be_the_same(one: str, other: str, same: bool) -> None:
    assert may_be_same(one, other) is may_be_same(other, one) is same


def test_a_server_that_is_only_examined_leaves_no_trace(shards: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    empty_store(store)
    with served("org/weights-B") as server, pytest.raises(ServerError):
        api.rate(shards, raters="vqa-yes", store=store, serving=quick(server, model="another"), workers=0)
    with Replies(store / FILE) as replies:
        memory = Memory(replies, card="card", model=MODEL, weights="org/weights-B")
        assert replies.weights_of(MODEL) is None
        memory.add(b"key", Reply(text="7"))
        assert replies.weights_of(MODEL) == "org/weights-B"


def test_what_says_no_weights_goes_with_all_and_fingerprints_are_those_of_before(shards: str, tmp_path: Path) -> None:
    """A server whose weights are called as it names them is what nearly all are; it and others make the same card."""
    fingerprints = set()
    for number, root in enumerate((None, "org/weights-A")):
        with served(root) as server:
            report = api.rate(shards, raters="vqa-yes", store=tmp_path / str(number), serving=quick(server), workers=0)
            fingerprints.add(report.raters["vqa-yes"])
    assert len(fingerprints) == 1


def test_a_key_in_what_a_server_says_of_itself_is_not_kept(shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "planted-0123456789abcdef"
    monkeypatch.setenv("JUDGE_KEY", key)
    store = tmp_path / "store"
    with ScriptedServer(behaviour=Behaviour(root=f"weights of {key} \ud800\n\x1b", key=key)) as server:
        api.rate(shards, raters="vqa-yes", store=store, serving=quick(server, key_variable="JUDGE_KEY"), workers=0)
    assert not [one for one in store.rglob("*") if one.is_file() and key.encode() in one.read_bytes()]
    (cost,) = api.show(store).document["costs"]
    assert cost["cost"]["backends"] == "vllm 0.33.0 with weights of [redacted] \\ud800  "
