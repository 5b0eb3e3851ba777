"""What is found out about a server before it is asked, and whether it keeps pictures apart."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from curate.asks import Answer, Ask, Label, Reply, Trouble, Turn
from curate.client.backend import ServerBackend
from curate.client.canary import COLOURS, Canary, mixed_up
from curate.client.capabilities import Capabilities
from curate.client.retries import Retrying
from curate.client.session import Patience
from curate.client.swatches import swatch
from curate.errors import BudgetSpent, ServerError
from curate.records import Status
from curate.serving import Serving
from curate.testing.server import RETRIED, Behaviour, Fault, Plan, Refused, Request, Scripted, ScriptedServer, hash_oracle, spread
from curate.testing.server.oracle import NOTHING
from tests.client.asking import QUICK, answered, labelled, unsaid, untested, written

ALL = Capabilities(
    served="scripted-judge",
    answers_as=frozenset({"scripted-judge"}),
    top_logprobs=20,
    label_ids=True,
    pictures=8,
    schema=True,
    ids="echoed",
)


def found(behaviour: Behaviour, **how: Any) -> Capabilities:
    with ScriptedServer(behaviour=behaviour, **how) as server:
        backend = ServerBackend(untested(server.url), patience=QUICK)
        backend.close()
    return backend.capabilities


@pytest.mark.parametrize(
    ("behaviour", "able"),
    [
        (Behaviour(), ALL),
        (Behaviour(tokenizer=False), replace(ALL, label_ids=False)),
        (Behaviour(label_ids="ignored"), replace(ALL, label_ids=False)),
        (Behaviour(label_ids="rejected"), replace(ALL, label_ids=False)),
        (Behaviour(most_logprobs=5), replace(ALL, label_ids=False, top_logprobs=5)),
        (Behaviour(most_logprobs=0), replace(ALL, label_ids=False, top_logprobs=0)),
        (Behaviour(logprobs="ignored"), replace(ALL, label_ids=False, top_logprobs=0)),
        (Behaviour(logprobs="rejected"), replace(ALL, label_ids=False, top_logprobs=0)),
        (Behaviour(schemas="ignored"), replace(ALL, schema=False)),
        (Behaviour(schemas="rejected"), replace(ALL, schema=False)),
        (Behaviour(most_pictures=3), replace(ALL, pictures=2)),
        (Behaviour(most_pictures=0), replace(ALL, pictures=0)),
        (Behaviour(echoes_ids=False), replace(ALL, ids="unique")),
    ],
)
def test_what_a_server_can_do(behaviour: Behaviour, able: Capabilities) -> None:
    assert found(behaviour) == able


@pytest.mark.parametrize("fault", sorted(RETRIED - {Fault.HANG, Fault.TRICKLE, Fault.WRONG_MODEL, Fault.OTHER_REQUEST}))
def test_an_unsteady_server_is_not_taken_for_an_unable_one(fault: Fault) -> None:
    """Every question fails twice before it is answered."""
    assert found(Behaviour(), faults=spread(1.0, [fault], times=2)) == ALL


@pytest.mark.parametrize("fault", [Fault.WRONG_MODEL, Fault.OTHER_REQUEST])
def test_one_answer_under_a_wrong_name_says_nothing_of_the_others(fault: Fault) -> None:
    keys: list[str] = []

    def first(key: str) -> Plan:
        keys.append(key)
        return Plan(faults=(fault,)) if key == keys[0] else Plan()

    assert found(Behaviour(), faults=first) == ALL


def test_a_server_that_does_not_say_why_its_answers_end_is_examined_all_the_same() -> None:
    asked: list[Request] = []

    def tells_once(request: Request) -> Scripted:
        asked.append(request)
        return hash_oracle(request) if len(asked) == 1 else unsaid(request)

    assert found(Behaviour(), answer=unsaid) == replace(ALL, says_end=False)
    assert found(Behaviour(), answer=tells_once) == ALL, "an answer that was broken off says nothing of the others"


def test_answers_are_the_same_by_rank_and_by_id() -> None:
    """Where all labels are among the likeliest tokens."""
    asks = [labelled(number) for number in range(20)]
    seen = []
    for label_ids in ("given", "ignored"):
        with ScriptedServer(behaviour=Behaviour(label_ids=label_ids)) as server:
            backend = ServerBackend(untested(server.url), patience=QUICK)
            answers = answered(backend, asks)
            backend.close()
            seen.append([answer.distribution for answer in answers if isinstance(answer, Reply)])
    by_id, by_rank = seen
    assert len(by_id) == len(by_rank) == len(asks)
    for one, other in zip(by_id, by_rank, strict=True):
        assert one is not None
        assert other is not None
        assert other.logprobs.keys() == one.logprobs.keys()


def test_labels_that_are_several_tokens() -> None:
    """A spelling may be, a label may not."""
    turns = (Turn(role="user", parts=("Is it good? Answer Yes or perhaps-not.",)),)
    mixed = (Label(name="yes", spellings=("Yes", "Yes!!")), Label(name="no", spellings=("No",)))
    begun = (Label(name="yes", spellings=("Yes", "Yeah-ish")), Label(name="no", spellings=("No",)))
    several = (Label(name="yes", spellings=("Yes",)), Label(name="never", spellings=("perhaps-not", "by no means")))
    with ScriptedServer() as server:
        backend = ServerBackend(untested(server.url), patience=QUICK)
        (answer,) = answered(backend, [Ask(turns=turns, labels=mixed)])
        assert isinstance(answer, Reply)
        assert answer.distribution is not None
        assert answer.distribution.logprobs["yes"]["Yes!!"] == float("-inf"), "what begins with 'Yes' is counted there"
        assert answer.distribution.mass("yes") > 0
        assert answer.distribution.floor is None
        (answer,) = answered(backend, [Ask(turns=turns, labels=begun)])
        assert isinstance(answer, Reply)
        assert answer.distribution is not None
        assert answer.distribution.logprobs["yes"].keys() == {"Yes"}
        assert b"Y"[0] in server.chats[-1].body["logprob_token_ids"], "its first token is asked for"
        assert NOTHING < (answer.distribution.floor or NOTHING) < -1.0, "and it is as probable at most"
        backend.put([(0, Ask(turns=turns, labels=several))])
        with pytest.raises(ServerError, match="the label 'never' is no single token of the model 'scripted-judge'"):
            backend.get()
        backend.close()


def test_labels_that_begin_with_another() -> None:
    """'10' begins with the token of '1', where digits are tokens one by one."""
    labels = (Label(name="one", spellings=("1",)), Label(name="ten", spellings=("A", "10")))
    ask = Ask(turns=(Turn(role="user", parts=("From 1 to 10?",)),), labels=labels)
    with ScriptedServer() as server:
        backend = ServerBackend(untested(server.url), patience=QUICK)
        backend.put([(0, ask)])
        with pytest.raises(ServerError, match="the label 'ten' written '10' begins with the token of the label 'one'"):
            backend.get()
        backend.close()


def test_more_pictures_than_a_server_takes_are_not_sent() -> None:
    ask = Ask(turns=(Turn(role="user", parts=(swatch((1, 1, 1)), swatch((2, 2, 2)), "Which?")),), max_tokens=4)
    with ScriptedServer(behaviour=Behaviour(most_pictures=1)) as server:
        backend = ServerBackend(untested(server.url), patience=QUICK)
        trouble, reply = answered(backend, [ask, written(1)])
        backend.close()
        assert server.asked(Request.of(ask).key) == 0
    assert isinstance(reply, Reply)
    assert isinstance(trouble, Trouble)
    assert (trouble.status, trouble.usage.requests) == (Status.API_ERROR, 0)
    assert trouble.detail == "image_rejected: the server takes at most 1 picture in a request, and 2 would be sent"


def test_who_answers() -> None:
    with ScriptedServer(behaviour=Behaviour(owner="sglang", version=None)) as server:
        serving = Serving(url=f"{server.url}/", model="scripted-judge", revision="cafe", dialect={"top_k": 5, "min_p": 0})
        backend = ServerBackend(serving, patience=QUICK)
        backend.close()
        assert backend.model.as_dict() == {
            "name": 'scripted-judge {"min_p":0,"top_k":5}',
            "revision": "cafe",
            "backend": "sglang",
        }
        assert all(one.body is not None and one.body["top_k"] == 5 for one in server.chats)


def test_labels_that_a_grammar_forces_are_found_out_by_rank_too() -> None:
    behaviour = Behaviour(masked_to=("Yes", "No"), label_ids="ignored")
    with ScriptedServer(behaviour=behaviour) as server, pytest.raises(ServerError, match="taken after a constraint"):
        ServerBackend(untested(server.url), patience=QUICK)


# The canary


@pytest.mark.parametrize("name", sorted(COLOURS))
def test_swatches_are_pictures(name: str) -> None:
    made = swatch(COLOURS[name])
    with Image.open(io.BytesIO(made.data)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (made.width, made.height))
        assert picture.getcolors() == [(made.width * made.height, COLOURS[name])]


def sees(request: Request) -> Scripted:
    """A model that sees colours."""
    for name, colour in COLOURS.items():
        if request.pictures and request.pictures[-1].colour == colour:
            return Scripted(text=f"It is {name.capitalize()}.")
    return hash_oracle(request)


def test_a_server_that_keeps_pictures_apart() -> None:
    with ScriptedServer(sees, behaviour=Behaviour(latency=0.02)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=True), patience=QUICK)
        backend.close()
        assert server.busiest >= 16, "many at once"


def test_pictures_are_kept_apart_however_answers_end() -> None:
    with ScriptedServer(lambda request: replace(sees(request), finish="perhaps")) as server:
        ServerBackend(Serving(url=server.url, canary=True), patience=QUICK).close()
        assert len(server.chats) >= 8 + 64


@pytest.mark.parametrize("mixes", [2, 5, 20])
def test_a_server_that_mixes_pictures_up_is_not_used(mixes: int) -> None:
    with ScriptedServer(sees) as server:
        behaviour = Behaviour(mixes_pictures=mixes)
        server.behaviour = behaviour
        with pytest.raises(ServerError, match="mixes up pictures: asked about a .+ one among others it said"):
            ServerBackend(Serving(url=server.url, canary=True), patience=QUICK)


def test_one_that_begins_to_mix_them_up_later_ends_the_run() -> None:
    patience = Patience(retrying=QUICK.retrying, breaking=QUICK.breaking, canary_seconds=0.1)
    with ScriptedServer(sees) as server:
        backend = ServerBackend(Serving(url=server.url, canary=True), patience=patience)
        server.behaviour = Behaviour(mixes_pictures=3)
        with pytest.raises(ServerError, match="mixes up pictures"):
            backend.get()
        backend.close()


def test_a_model_that_names_no_colours_is_not_accused_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(lambda request: Scripted(text="a picture")) as server:
        ServerBackend(Serving(url=server.url, canary=True), patience=QUICK).close()
    assert "names 0 of 8 colours, so the test whether it mixes up pictures tells little" in caplog.text


def test_a_cache_that_knows_only_the_words_is_found_out() -> None:
    """Whichever picture comes first, its answer is given for all others with the same question."""
    known: dict[tuple[str, ...], Scripted] = {}
    with (
        ScriptedServer(lambda request: known.setdefault(tuple(request.texts), sees(request))) as server,
        pytest.raises(ServerError, match="calls 8 pictures of 8 colours red, asked about one by one"),
    ):
        ServerBackend(Serving(url=server.url, canary=True), patience=QUICK)


def test_what_cannot_be_tested_is_an_error() -> None:
    async def spent(ask: Ask) -> Answer:
        return Trouble(status=Status.PENDING, detail="budget: 8 of 8 requests are used")

    with pytest.raises(BudgetSpent, match="too low to test whether"):
        asyncio.run(Canary(spent, "http://here/v1", 64).check())

    def fails(request: Request) -> Scripted:
        if any("colour is this picture" in text for text in request.texts):
            raise Refused(500, "out of memory")
        return sees(request)

    quick = Patience(retrying=Retrying(tries=2, first_seconds=0.01), breaking=QUICK.breaking)
    with ScriptedServer(fails) as server, pytest.raises(ServerError, match="fails at a plain picture .*out of memory"):
        ServerBackend(Serving(url=server.url, canary=True), patience=quick)


def test_a_server_without_pictures_has_none_to_mix_up() -> None:
    with ScriptedServer(behaviour=Behaviour(most_pictures=0)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=True), patience=QUICK)
        backend.close()
        assert backend.capabilities.pictures == 0


ALONE = {name: name for name in COLOURS}


@pytest.mark.parametrize(
    ("said", "alone", "mixed"),
    [
        ("red", ALONE, False),
        ("blue", ALONE, True),
        ("what?", ALONE, True),
        ("blue", {**ALONE, "white": "grey"}, True),
        ("what?", {**ALONE, "white": "grey"}, False),
        ("x", dict.fromkeys(COLOURS, "x"), False),
    ],
)
def test_what_counts_as_mixed_up(said: str, alone: dict[str, str], mixed: bool) -> None:
    assert mixed_up("red", said, alone) is mixed
