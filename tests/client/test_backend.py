"""A backend against the scripted server: every ask gets the right answer once, whatever goes wrong, or all ends at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from curate.asks import Ask, Reply, Trouble, Turn
from curate.client.backend import ServerBackend
from curate.client.breaker import Breaking
from curate.client.probe import only_model
from curate.client.retries import Retrying
from curate.client.session import Patience
from curate.client.swatches import swatch
from curate.errors import BudgetSpent, ServerError
from curate.records import Status
from curate.serving import Serving
from curate.testing.server import (
    HARMLESS,
    RETRIED,
    Behaviour,
    Fault,
    Plan,
    Request,
    Scripted,
    ScriptedServer,
    distribution,
    hash_oracle,
    listed,
    replies,
    spread,
)
from tests.client.asking import QUICK, answered, collected, labelled, unsaid, written

EXAMINING = 3
"""Chat requests with which a server is examined: probabilities, pictures, schema."""


def key(ask: Ask) -> str:
    return Request.of(ask).key


def asked(server: ScriptedServer, asks: list[Ask]) -> int:
    return sum(server.asked(key(ask)) for ask in asks)


def assert_right(ask: Ask, answer: object) -> None:
    """The answer is the script's to exactly this ask."""
    assert isinstance(answer, Reply), answer
    request = Request.of(ask)
    if ask.labels:
        assert answer.distribution == distribution(hash_oracle(request), request, ask.labels)
    else:
        assert answer.text == hash_oracle(request).text


def test_every_ask_gets_its_own_answer() -> None:
    asks = [(labelled if number % 2 else written)(number) for number in range(300)]
    with ScriptedServer() as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=32))
        answers = answered(backend, asks)
        backend.close()
        assert backend.model.as_dict() == {"name": "scripted-judge", "revision": None, "backend": "vllm 0.33.0"}
        for ask, answer in zip(asks, answers, strict=True):
            assert_right(ask, answer)
            assert answer.usage.requests == 1
            assert answer.usage.prompt_tokens > 0
        assert asked(server, asks) == len(asks), "nothing is asked twice"
        assert len(server.chats) == len(asks) + EXAMINING
        assert server.busiest <= 32


@pytest.mark.parametrize("fault", sorted(RETRIED))
@pytest.mark.parametrize("ask", [labelled(7), written(7)], ids=["labels", "text"])
def test_what_passes_is_tried_again(fault: Fault, ask: Ask) -> None:
    """Twice a fault, then the answer; and where it stays, trouble after as many tries as are allowed."""
    other = labelled(8) if ask.labels else written(8)
    plans = {key(ask): Plan(faults=(fault, fault)), key(other): Plan(faults=(fault,), permanent=True)}
    patience = replace(QUICK, retrying=replace(QUICK.retrying, tries=3))
    with ScriptedServer(faults=listed(plans)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, total_seconds=0.3), patience=patience)
        answer, trouble = answered(backend, [ask, other])
        backend.close()
        assert_right(ask, answer)
        if fault is Fault.NO_LOGPROBS and not ask.labels:
            assert_right(other, trouble)
            return
        assert answer.usage.requests == server.asked(key(ask)) == 3
        assert isinstance(trouble, Trouble)
        assert trouble.status is Status.API_ERROR
        assert trouble.usage.requests == server.asked(key(other)) == 3


@pytest.mark.parametrize("echoes_ids", [True, False])
@pytest.mark.parametrize("fault", sorted(HARMLESS))
def test_what_comes_besides_the_answer_belongs_to_nobody(fault: Fault, echoes_ids: bool) -> None:
    """Answers that come twice, that nobody asked for, or slowly."""
    asks = [labelled(number) for number in range(60)]
    behaviour = Behaviour(echoes_ids=echoes_ids, drip_seconds=0.01)
    with ScriptedServer(faults=spread(0.3, [fault]), behaviour=behaviour) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=4), patience=QUICK)
        answers = answered(backend, asks)
        backend.close()
        for ask, answer in zip(asks, answers, strict=True):
            assert_right(ask, answer)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.BAD_REQUEST, Status.API_ERROR, "http_400: "),
        (Fault.REFUSAL, None, "I'm sorry"),
        (Fault.FILTERED, None, "content_filter"),
        (Fault.LENGTH, None, "length"),
        (Fault.LABEL_ABSENT, None, ""),
    ],
)
def test_what_stays_is_asked_once(fault: Fault, status: Status | None, reason: str) -> None:
    """Errors that no other try mends, and answers that a rubric has to make sense of."""
    ask = labelled(1) if fault is Fault.LABEL_ABSENT else written(1)
    with ScriptedServer(faults=listed({key(ask): Plan(faults=(fault,), permanent=True)})) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False), patience=QUICK)
        (answer,) = answered(backend, [ask])
        backend.close()
        assert server.asked(key(ask)) == 1
    if isinstance(answer, Trouble):
        assert answer.status is status
        assert answer.detail.startswith(reason)
        return
    assert status is None
    if fault is Fault.REFUSAL:
        assert (answer.refusal or "").startswith(reason)
    elif fault is Fault.LABEL_ABSENT:
        assert answer.distribution is not None
        assert answer.distribution.total < 1e-6
    else:
        assert answer.finish == reason


def test_a_mixture_of_all_faults() -> None:
    """1,000 asks, a third of them in trouble of every kind: the answers are the oracle's, and nothing is asked too often."""
    kinds = sorted(RETRIED - {Fault.HANG, Fault.TRICKLE} | {Fault.DRIP})
    asks = [(labelled if number % 2 else written)(number) for number in range(1000)]
    with ScriptedServer(faults=spread(0.33, kinds, times=2), behaviour=Behaviour(drip_seconds=0.05)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, total_seconds=5.0), patience=QUICK)
        answers = answered(backend, asks)
        backend.close()
        for ask, answer in zip(asks, answers, strict=True):
            assert_right(ask, answer)
            assert server.asked(key(ask)) == answer.usage.requests <= 3
        again = {name: count for name, count in server.completed.items() if count > 1}
        assert not again, "what was answered is not asked again"


def test_the_retries_of_a_run_are_limited() -> None:
    """A server that fails everybody gets no second load."""
    asks = [written(number) for number in range(40)]
    patience = Patience(
        retrying=Retrying(first_seconds=0.001, longest_seconds=0.002, share=0.1, least=0), breaking=Breaking(failures=10_000)
    )
    plans = {key(ask): Plan(faults=(Fault.SERVER_ERROR,), permanent=True) for ask in asks}
    with ScriptedServer(faults=listed(plans)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False), patience=patience)
        answers = answered(backend, asks)
        backend.close()
        assert asked(server, asks) == len(asks) + len(asks) // 10
    assert {answer.detail.split(":")[0] for answer in answers if isinstance(answer, Trouble)} == {"http_5xx"}


def test_a_server_that_goes_away_and_comes_back_loses_nothing() -> None:
    asks = [labelled(number) for number in range(200)]
    behaviour = Behaviour(latency=0.005, slots=8, leaves_after=60, leaves_for=0.4)
    patience = Patience(retrying=QUICK.retrying, breaking=Breaking(failures=5, first_seconds=0.05, longest_seconds=0.2))
    with ScriptedServer(behaviour=behaviour) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=16), patience=patience)
        answers = answered(backend, asks)
        backend.close()
        for ask, answer in zip(asks, answers, strict=True):
            assert_right(ask, answer)
        models = [one for one in server.requests if one.path == "/v1/models"]
        assert len(models) >= 2, "who is back was asked before anything else"


def test_one_that_does_not_say_why_answers_end_comes_back_too() -> None:
    asks = [labelled(number) for number in range(60)]
    behaviour = Behaviour(latency=0.005, slots=8, leaves_after=30, leaves_for=0.3)
    patience = Patience(
        retrying=QUICK.retrying, breaking=Breaking(failures=5, first_seconds=0.05, longest_seconds=0.2, patience_seconds=3.0)
    )
    with ScriptedServer(unsaid, behaviour=behaviour) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=16), patience=patience)
        assert all(isinstance(answer, Reply) for answer in answered(backend, asks))
        backend.close()


def test_texts_that_may_be_cut_off_speak_not_against_the_server_and_are_paid_for() -> None:
    def breaks_off(request: Request) -> Scripted:
        return (unsaid if "Describe" in request.texts[-1] else hash_oracle)(request)

    asks = [written(number) for number in range(20)]
    patience = replace(QUICK, breaking=Breaking(failures=3, first_seconds=0.01))
    with ScriptedServer(breaks_off) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False), patience=patience)
        answers = answered(backend, asks)
        backend.close()
        assert len([one for one in server.requests if one.path == "/v1/models"]) == 1, "nobody doubts that it is there"
    for answer in answers:
        assert isinstance(answer, Trouble)
        assert answer.detail.startswith("unfinished: ")
        assert answer.usage.requests == 6
        assert answer.usage.prompt_tokens >= 6
        assert answer.usage.prompt_tokens % 6 == answer.usage.completion_tokens % 6 == 0, "of all six tries"


def test_asks_that_a_server_fails_at_end_neither_the_run_nor_the_others() -> None:
    """Many more in a row than it takes to doubt the server, which answers a plain question all the same."""
    asks = [written(number) for number in range(120)]
    poison = {key(ask): Plan(faults=(Fault.SERVER_ERROR,), permanent=True) for ask in asks[:100]}
    patience = replace(QUICK, breaking=Breaking(failures=10, first_seconds=0.01, longest_seconds=0.02, patience_seconds=0.5))
    with ScriptedServer(faults=listed(poison)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=8), patience=patience)
        answers = answered(backend, asks)
        backend.close()
        assert {server.asked(name) for name in poison} == {patience.retrying.tries}
    for number, (ask, answer) in enumerate(zip(asks, answers, strict=True)):
        if number < 100:
            assert isinstance(answer, Trouble)
            assert answer.detail.startswith("http_5xx: ")
        else:
            assert_right(ask, answer)


def test_a_server_that_stays_away_ends_the_run() -> None:
    asks = [written(number) for number in range(50)]
    patience = Patience(
        retrying=Retrying(first_seconds=0.01, longest_seconds=0.05, tries=1000),
        breaking=Breaking(failures=5, first_seconds=0.02, longest_seconds=0.05, patience_seconds=0.3),
    )
    with ScriptedServer(behaviour=Behaviour(latency=0.01, leaves_after=20, leaves_for=60.0)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=4), patience=patience)
        backend.put(list(enumerate(asks)))
        answers = []
        with pytest.raises(ServerError, match="gives no answers any more .*connect: .*run the same command again"):
            while True:
                answers += backend.get()
        with pytest.raises(ServerError):
            backend.get()
        backend.close()
    assert len(answers) >= 20 - EXAMINING, "what was answered before is not lost"


def test_another_model_behind_the_same_address_ends_the_run() -> None:
    asks = [labelled(number) for number in range(100)]
    with ScriptedServer(behaviour=Behaviour(swaps_after=40)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=4), patience=QUICK)
        backend.put(list(enumerate(asks)))
        answers = []
        with pytest.raises(ServerError, match="served 'scripted-judge' when this run began and now serves another-judge"):
            while True:
                answers += backend.get()
        backend.close()
        for number, answer in answers:
            assert_right(asks[number], answer)
        assert len(answers) == 40 - EXAMINING


def test_another_model_after_an_outage_ends_the_run() -> None:
    asks = [written(number) for number in range(100)]
    behaviour = Behaviour(latency=0.01, leaves_after=30, leaves_for=0.2, swaps_after=30)
    with ScriptedServer(behaviour=behaviour) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=8), patience=QUICK)
        backend.put(list(enumerate(asks)))
        with pytest.raises(ServerError, match="now serves another-judge"):
            while True:
                backend.get()
        backend.close()


def test_a_key_that_is_refused_later_ends_the_run() -> None:
    with ScriptedServer(behaviour=Behaviour(refuses_key_after=30)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=4), patience=QUICK)
        backend.put([(number, written(number)) for number in range(100)])
        answers = []
        with pytest.raises(ServerError, match="wants a key and none was sent"):
            while True:
                answers += backend.get()
        backend.close()
        assert len(server.chats) <= 30 + 4
    assert len(answers) == 30 - EXAMINING


@pytest.mark.parametrize("times", [0, 2])
def test_requests_never_exceed_their_limit(times: int) -> None:
    """Tries count, and the questions at the start; what is not asked any more is pending."""
    asks = [written(number) for number in range(100)]
    with ScriptedServer(faults=spread(0.5, [Fault.SERVER_ERROR], times=times)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, most_requests=50), patience=QUICK)
        answers = answered(backend, asks)
        assert backend.spent
        backend.close()
        assert len(server.chats) == 50
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, Reply):
                assert_right(ask, answer)
            else:
                assert answer.status is Status.PENDING
                assert answer.detail == "budget: 50 of 50 requests are used"
        if not times:
            assert sum(isinstance(answer, Reply) for answer in answers) == 50 - EXAMINING


@pytest.mark.parametrize("limit", [9_000, 12_345])
def test_tokens_never_exceed_their_limit(limit: int) -> None:
    with ScriptedServer() as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, most_tokens=limit), patience=QUICK)
        answers = answered(backend, [labelled(number) for number in range(600)])
        backend.close()
        used = sum(answer.usage.prompt_tokens + answer.usage.completion_tokens for answer in answers)
        pending = [answer for answer in answers if isinstance(answer, Trouble)]
        assert used <= limit
        assert used > 0.7 * limit, "and it is used"
        assert pending
        assert {answer.status for answer in pending} == {Status.PENDING}
        assert len(server.chats) == len(answers) - len(pending) + EXAMINING


def tiled(request: Request) -> int:
    """What a model counts that cuts large pictures into a dozen tiles."""
    return 50 + sum(3072 if one.width > 64 else 64 for one in request.pictures)


def test_models_that_see_many_tokens_in_a_picture_stay_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve tiles where the estimate has one: what the server counts, of all it was asked, is within the limit."""
    monkeypatch.setattr(replies, "_prompt_tokens", tiled)
    limit = 20_000
    asks = [
        Ask(turns=(Turn(role="user", parts=(swatch((number, 0, 0), 448), f"Mark {number}.")),), max_tokens=4)
        for number in range(40)
    ]
    with ScriptedServer(behaviour=Behaviour(latency=0.02)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, most_tokens=limit), patience=QUICK)
        answers = answered(backend, asks)
        backend.close()
    used = sum(answer.usage.prompt_tokens + answer.usage.completion_tokens for answer in answers)
    assert 0.5 * limit < used <= limit


def test_a_budget_too_small_to_begin_with() -> None:
    with ScriptedServer() as server, pytest.raises(BudgetSpent, match="too low to find out"):
        ServerBackend(Serving(url=server.url, canary=False, most_requests=2))


def test_closing_gives_up_what_is_under_way() -> None:
    with ScriptedServer(behaviour=Behaviour(latency=0.0)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False))
        server.behaviour = Behaviour(latency=60.0)
        backend.put([(number, written(number)) for number in range(100)])
        while server.busiest < 16:
            time.sleep(0.01)
        started = time.monotonic()
        backend.close()
        backend.close()
        assert time.monotonic() - started < 2.0


def test_bytes_in_flight_are_bounded() -> None:
    """Bodies of 100 kB, of which three may be under way."""
    text = "x" * 100_000
    asks = [Ask(turns=(Turn(role="user", parts=(f"{number} {text}",)),), max_tokens=4) for number in range(20)]
    with ScriptedServer(behaviour=Behaviour(latency=0.02)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, most_bytes=350_000), patience=QUICK)
        assert all(isinstance(answer, Reply) for answer in answered(backend, asks))
        backend.close()
        assert server.busiest == 3


def test_asks_may_be_put_while_others_are_answered() -> None:
    with ScriptedServer(behaviour=Behaviour(latency=0.005)) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False, concurrency=4))
        answers: dict[int, object] = {}
        coming = iter(range(80))
        backend.put([(number, written(number)) for number in (next(coming), next(coming))])
        while len(answers) < 80:
            for number, answer in backend.get():
                answers[number] = answer
                backend.put([(another, written(another)) for another in [next(coming, None)] if another is not None])
        backend.close()
        for number, answer in answers.items():
            assert_right(written(number), answer)


def _away(url: str) -> Serving:
    return Serving(url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("serving", "behaviour", "sentence"),
    [
        (_away, Behaviour(), r"no server answers at http://127.0.0.1:9/v1 \(.+\); start it, or correct the address"),
        (
            lambda url: Serving(url=url, model="scripted"),
            Behaviour(),
            "does not serve 'scripted'. Known: scripted-judge",
        ),
        (lambda url: Serving(url=url), Behaviour(key="k-123456"), "wants a key and none was sent; --key-from .*API key"),
        (lambda url: Serving(url=url), Behaviour(masked_to=("Yes", "No")), "labels nobody would answer with are certain"),
        (lambda url: Serving(url="ftp://host/v1"), Behaviour(), "begins with http:// or https://"),
        (lambda url: Serving(url="http://me:pass@host/v1"), Behaviour(), "holds no user, password or query"),
        (lambda url: Serving(url=url, key_variable="NO_SUCH_KEY"), Behaviour(), "NO_SUCH_KEY, which is to hold .* is not set"),
    ],
)
def test_what_cannot_begin_is_one_sentence(serving: Callable[[str], Serving], behaviour: Behaviour, sentence: str) -> None:
    with ScriptedServer(behaviour=behaviour) as server, pytest.raises(ServerError, match=sentence) as raised:
        ServerBackend(serving(server.url), patience=QUICK)
    assert "\n" not in str(raised.value)
    assert "pass@" not in str(raised.value)


def test_labels_without_log_probabilities_are_one_sentence() -> None:
    with ScriptedServer(behaviour=Behaviour(logprobs="ignored")) as server:
        backend = ServerBackend(Serving(url=server.url, canary=False), patience=QUICK)
        assert isinstance(answered(backend, [written(1)])[0], Reply), "texts need none"
        backend.put([(0, labelled(1))])
        with pytest.raises(ServerError, match="returns no log-probabilities, which the rubric needs"):
            collected(backend, 1)
        backend.close()


def test_the_only_model_of_a_server() -> None:
    with ScriptedServer() as server:
        assert only_model(Serving(url=server.url)) == "scripted-judge"
    with pytest.raises(ServerError, match="no server answers"):
        only_model(Serving(url=server.url))
