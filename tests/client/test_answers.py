"""What is read of a response, and what is not taken for an answer."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.asks import LEAST_LOG, Ask, Reply, Trouble
from curate.client import answers
from curate.client.answers import Again, Reader, Response, quoted
from curate.client.capabilities import Capabilities, Ids
from curate.client.secrets import Redactor, Secret
from curate.errors import ServerError
from curate.records import Status
from tests.client.asking import YES_NO, labelled, written

KEY = "sk-planted-0123456789"

TOKEN_IDS = {"Yes": (1,), "yes": (2,), " Yes": (3,), "No": (4,), "no": (5,), " No": (6, 7)}


def reader(ids: Ids = "echoed", **able: Any) -> Reader:
    capabilities = Capabilities(served="judge", answers_as=frozenset({"judge", "judge-2026"}), ids=ids, **able)
    return Reader(capabilities, Redactor(Secret(KEY)), "http://host/v1")


def entry(token: str, log: float, **fields: Any) -> dict[str, Any]:
    return {"token": token, "logprob": log, **fields}


def logprobs(*top: dict[str, Any], first: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"content": [{**(first or top[0]), "top_logprobs": list(top)}]}


def document(**choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": choice.pop("content", "well"), "refusal": choice.pop("refusal", None)}
    return {
        "id": "chatcmpl-r1",
        "model": "judge",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None, **choice}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
    }


def read(body: object, ask: Ask, status: int = 200, *, by: Reader | None = None, **how: Any) -> Reply | Trouble | Again:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (by or reader()).read(Response(status, how.pop("headers", {}), data), ask, request_id="r1", **how)


def test_a_text() -> None:
    reply = read(document(content="Fine.", finish_reason="length"), written(1))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish, reply.refusal, reply.distribution) == ("Fine.", "length", None, None)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (12, 3, 4)


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "content_filter"),
        ("SAFETY", "content_filter"),
        ("recitation", "content_filter"),
        ("prohibited_content", "content_filter"),
        ("blocklist", "content_filter"),
        ("spii", "content_filter"),
    ],
)
def test_why_it_ended(said: object, finish: str) -> None:
    reply = read(document(finish_reason=said), written(1))
    assert isinstance(reply, Reply)
    assert reply.finish == finish


@pytest.mark.parametrize("said", [None, [], {}, "", "abort", "error", "tool_calls", 10**4000])
def test_a_text_that_may_have_been_cut_off_is_no_answer(said: object) -> None:
    """Labels are read off one token, and a refusal is none however it ends."""
    outcome = read(document(content="Rating: 1", finish_reason=said), written(1))
    assert isinstance(outcome, Again)
    assert outcome.reason == "unfinished"
    labels = read(document(finish_reason=said, logprobs=logprobs(entry("Yes", -0.5))), labelled(1))
    refused = read(document(finish_reason=said, refusal="No."), written(1))
    for reply in (labels, refused):
        assert isinstance(reply, Reply)
        assert reply.finish == "other"
    unsaid = document()
    del unsaid["choices"][0]["finish_reason"]
    assert isinstance(read(unsaid, written(1)), Again)


def test_where_it_does_not_matter_how_a_text_ends_it_is_an_answer() -> None:
    reply = read(document(content="B, I think", finish_reason=None), replace(written(1), may_be_cut=True))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish) == ("B, I think", "other")


@pytest.mark.parametrize(
    ("body", "ask", "counted", "healthy"),
    [
        (document(finish_reason="abort"), written(1), 12 + 3, True),
        (document(), labelled(1), 12 + 3, False),
        ({**document(), "choices": []}, written(1), 12 + 3, False),
        ({**document(), "id": "chatcmpl-r2"}, written(1), 0, False),
        (b"", written(1), 0, False),
    ],
)
def test_what_is_no_answer_was_paid_for_and_may_be_of_a_healthy_server(
    body: object, ask: Ask, counted: int, healthy: bool
) -> None:
    """What belongs to another request is paid for by that one."""
    outcome = read(body, ask)
    assert isinstance(outcome, Again)
    assert outcome.usage.prompt_tokens + outcome.usage.completion_tokens == counted
    assert outcome.server_failed is not healthy


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in document().items() if key != name}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b'{"id": "chatcmpl-r1", "model": "judge", "choi', "not_json"),
        (b"<html>502 Bad Gateway</html>", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[]", "malformed"),
        (b"null", "malformed"),
        ({**document(), "error": {"message": "out of memory"}}, "error_in_answer"),
        ({**document(), "choices": []}, "no_choices"),
        ({**document(), "choices": document()["choices"] * 2}, "no_choices"),
        (without("choices"), "no_choices"),
        ({**document(), "choices": [{"finish_reason": "stop"}]}, "no_choices"),
        (document(content=["parts"]), "malformed"),
        ({**document(), "model": "other"}, "wrong_model"),
        (without("model"), "wrong_model"),
        ({**document(), "id": "chatcmpl-r2"}, "wrong_answer"),
        (without("id"), "wrong_answer"),
    ],
)
def test_what_is_no_answer_is_tried_again(body: object, reason: str) -> None:
    outcome = read(body, written(1))
    assert isinstance(outcome, Again)
    assert outcome.reason == reason


def test_an_answer_seen_before_is_no_answer_where_servers_give_each_a_name() -> None:
    by = reader("unique")
    assert isinstance(read(document(), written(1), by=by), Reply)
    again = read(document(), written(2), by=by)
    assert isinstance(again, Again)
    assert again.reason == "wrong_answer"
    assert isinstance(read({**document(), "id": "another"}, written(2), by=by), Reply)
    assert isinstance(read(without("id"), written(2), by=reader("none")), Reply), (
        "where names mean nothing they are not asked for"
    )


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait", "congested"),
    [
        (429, {"error": {"message": "slow down"}}, {"retry-after": "7"}, 7.0, True),
        (503, b"<html><h1>Busy</h1></html>", {}, None, True),
        (500, b"", {}, None, False),
        (408, b"", {}, None, False),
        (425, b"", {}, None, False),
    ],
)
def test_statuses_that_pass(status: int, body: object, headers: dict[str, str], wait: float | None, congested: bool) -> None:
    outcome = read(body, written(1), status, headers=headers)
    assert isinstance(outcome, Again)
    assert (outcome.reason, outcome.wait, outcome.congested) == (f"http_{status}", wait, congested)
    assert "<" not in outcome.detail


@pytest.mark.parametrize(
    ("status", "body", "result", "detail"),
    [
        (400, {"error": {"message": "bad field"}}, Status.API_ERROR, "http_400: bad field"),
        (400, {"detail": "nothing\nhere"}, Status.API_ERROR, "http_400: nothing here"),
        (403, b"", Status.API_ERROR, "http_403: the server gave no reason"),
        (404, {"error": "no such page"}, Status.API_ERROR, "http_404: no such page"),
        (302, b"", Status.API_ERROR, "http_302: the server gave no reason"),
        (413, b"", Status.API_ERROR, "http_413: the server gave no reason"),
        (
            400,
            {"error": {"message": "cannot identify image file"}},
            Status.API_ERROR,
            "image_rejected: cannot identify image file",
        ),
        (400, {"error": {"message": "no", "code": "content_policy_violation"}}, Status.REFUSED, "content_filter: "),
    ],
)
def test_statuses_that_stay(status: int, body: object, result: Status, detail: str) -> None:
    outcome = read(body, labelled(1), status)
    assert isinstance(outcome, Trouble)
    assert outcome.status is result
    assert outcome.detail.startswith(detail)


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (429, "insufficient_quota")])
def test_statuses_that_end_everything_and_quote_no_key(status: int, code: str) -> None:
    with pytest.raises(ServerError) as raised:
        read({"error": {"message": f"the key {KEY} is of no use", "code": code}}, written(1), status)
    assert KEY not in str(raised.value)


def test_a_key_that_a_model_repeats_goes_no_further() -> None:
    escaped = json.dumps(document(content=f"you sent {KEY}")).replace(KEY, "\\u0073" + KEY[1:]).encode()
    reply = read(escaped, written(1))
    assert isinstance(reply, Reply)
    assert reply.text == "you sent [redacted]"


INVISIBLE = "\u200b"


@pytest.mark.parametrize("before", [0, 265, 275, 290, 298, 70_000])
@pytest.mark.parametrize("between", ["", INVISIBLE, " \n ", "<b></b>"])
def test_a_key_goes_before_anything_is_cut(before: int, between: str) -> None:
    """However the server quotes it, and wherever the message ends, no half of it is left."""
    said = "x" * min(before, 299) + " " * max(1, before - 299) + KEY[:12] + between + KEY[12:]
    bodies = [
        (400, json.dumps({"error": {"message": said}}).encode()),
        (500, f"<html>{said}</html>".encode()),
        (200, said.encode()),
        (200, json.dumps({**document(), "model": said}).encode()),
        (200, json.dumps({**document(), "error": {"message": said}}).encode()),
        (200, json.dumps(document(logprobs=logprobs({"token": "Yes", "logprob": said}))).encode()),
    ]
    for status, body in bodies:
        outcome = read(body, labelled(1), status)
        assert isinstance(outcome, Trouble | Again)
        assert KEY[:10] not in outcome.detail
        assert KEY[12:] not in outcome.detail


@pytest.mark.parametrize("piece", ["<", "<a ", "http://", "http://a", "https://a?", "http://a@", "password ", "bearer ", "s<b> "])
def test_long_errors_take_no_longer_than_they_are(piece: str) -> None:
    """A pattern that is tried again from every place would take seconds for so much."""
    body = (piece * 65_536)[:65_536].encode()
    for shape in (body, json.dumps({"error": {"message": body.decode()}}).encode()):
        began = time.process_time()
        quoted(shape, Redactor(Secret(KEY)))
        Redactor(Secret(KEY))(body.decode())
        assert time.process_time() - began < 0.5


def test_the_message_of_a_long_error_is_found() -> None:
    """Servers quote the request in it."""
    body = json.dumps({"error": {"input": "x" * 50_000, "message": "no field 'y'", "code": "bad_field"}}).encode()
    assert quoted(body, Redactor()) == "bad_field: no field 'y'"
    assert quoted(b"<html><style>" + b"p{} " * 100_000 + b"</style>gone</html>", Redactor()).startswith("p{} p{}")


def distribution(body: dict[str, Any], token_ids: dict[str, int] | None = None) -> Any:
    reply = read(document(logprobs=body), labelled(1), token_ids=token_ids)
    assert isinstance(reply, Reply), reply
    return reply.distribution


def test_labels_are_found_by_their_exact_text() -> None:
    top = [entry("Yes", -0.5), entry(" yes", -2.0), entry("YES", -2.5), entry(" No", -3.0), entry("Yes.", -4.0)]
    found = distribution(logprobs(*top))
    assert found.logprobs == {"yes": {"Yes": -0.5}, "no": {" No": -3.0}}
    assert found.floor == -4.0, "what did not come back is at most as probable as the least that did"


def test_bytes_say_more_than_text() -> None:
    top = [
        entry("\u2581Yes", -0.5, bytes=[*b" Yes"]),
        entry("\ufffd", -1.5, bytes=[0xE2, 0x96]),
        entry("no", -2.0, bytes=[]),
        entry("No", -3.0, bytes=[*b"NO"]),
    ]
    assert distribution(logprobs(*top)).logprobs == {"yes": {" Yes": -0.5}, "no": {"no": -2.0}}


@pytest.mark.parametrize("mark", ["\u2581", "\u0120", " "])
def test_a_mark_in_place_of_a_space(mark: str) -> None:
    assert distribution(logprobs(entry(f"{mark}Yes", -0.5), entry("x", -1.5))).logprobs["yes"] == {" Yes": -0.5}


def test_one_token_said_twice_counts_once_and_two_tokens_of_one_text_both() -> None:
    top = [entry("Yes", math.log(0.3)), entry("Yes", math.log(0.3)), entry("No", math.log(0.2)), entry("No", math.log(0.1))]
    found = distribution(logprobs(*top))
    assert found.mass("yes") == pytest.approx(0.3)
    assert found.mass("no") == pytest.approx(0.3)
    rounded = distribution(logprobs(entry("Yes", math.log(0.51)), entry("Yes", math.log(0.505))))
    assert rounded.logprobs["yes"]["Yes"] == 0.0, "no probability is above 1"


def test_the_token_that_was_said_belongs_to_the_distribution_but_not_to_its_floor() -> None:
    found = distribution(logprobs(entry("Yes", -0.7), entry("No", -1.2), first=entry("no", -5.0)))
    assert found.logprobs == {"yes": {"Yes": -0.7}, "no": {"No": -1.2, "no": -5.0}}
    assert found.floor == -1.2


def test_only_the_first_token_counts() -> None:
    body = logprobs(entry("No", -0.5), entry("Yes", -1.0))
    body["content"].append({**entry("Yes", 0.0), "top_logprobs": [entry("Yes", 0.0)]})
    assert distribution(body).mass("yes") == pytest.approx(math.exp(-1.0))


def test_no_floor_where_all_spellings_came_back() -> None:
    every = [entry(spelling, -2.0) for label in YES_NO for spelling in label.spellings]
    assert distribution(logprobs(*every)).floor is None


@pytest.mark.parametrize("padding", [-9999.0, -9999, -3.4028234663852886e38, -math.inf, -(10**400)])
def test_padding_is_no_floor(padding: float) -> None:
    found = distribution(logprobs(entry("Yes", math.log(0.6)), *(entry(f"!{number}", padding) for number in range(19))))
    assert found.floor == math.log(0.6)


def test_a_token_that_begins_a_spelling_may_become_it() -> None:
    """Blanks in front do not count, case does, and what is a spelling itself is counted as that."""
    fading = [entry(f"w{number}", -15.0) for number in range(8)]
    for begins, floor in [("Y", 0.3), (" Y", 0.3), ("\n ye", 0.3), ("n", 0.3), ("YE", None), ("Yes!", None), (" ", None)]:
        found = distribution(logprobs(entry("Yes", math.log(0.6)), entry(begins, math.log(0.3)), *fading))
        assert math.exp(found.floor) == pytest.approx(0.3 if floor else 0.0, abs=1e-5), begins
    both = distribution(logprobs(entry("No", -1.0), entry("Y", math.log(0.2)), entry("Ye", math.log(0.1)), *fading))
    assert math.exp(both.floor) == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize("form", ["token_id:{}", "text"])
def test_tokens_that_were_asked_for_by_id(form: str) -> None:
    """All are there, or it is no answer; a spelling of several tokens is at most as probable as the first of them."""
    texts = {tokens[0]: spelling for spelling, tokens in TOKEN_IDS.items()} | {6: " N"}
    logs = dict.fromkeys(range(1, 6), -1.8) | {6: -2.5}
    every = [entry(texts[number] if form == "text" else form.format(number), log) for number, log in logs.items()]
    found = distribution(logprobs(*every), TOKEN_IDS)
    assert found.logprobs["no"] == {"No": -1.8, "no": -1.8}
    assert found.floor == -2.5
    assert distribution(logprobs(*every[:5]), TOKEN_IDS).floor == 0.0, "where the first token did not come, nothing is known"
    impossible = [*every[:5], {**every[5], "logprob": -9999.0}]
    assert distribution(logprobs(*impossible), TOKEN_IDS).floor == LEAST_LOG
    one_each = {spelling: tokens[:1] for spelling, tokens in TOKEN_IDS.items()}
    if form != "text":
        assert distribution(logprobs(*every), one_each).floor is None
    said_besides = logprobs(*every, first=entry("token_id:99", -3.0))
    assert distribution(said_besides, TOKEN_IDS) == found
    for wrong in (logprobs(*every[1:]), logprobs(*every, entry("x", -4.0), entry("y", -4.0))):
        outcome = read(document(logprobs=wrong), labelled(1), token_ids=TOKEN_IDS)
        assert isinstance(outcome, Again)
        assert outcome.reason == "no_logprobs"


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"content": None},
        {"content": []},
        {"content": [7]},
        {"content": [{"token": "Yes", "logprob": -1.0, "top_logprobs": 7}]},
        {"content": [{"token": "Yes", "top_logprobs": []}]},
        logprobs(entry("Yes", 0.5)),
        logprobs(entry("Yes", -0.1), entry("No", -0.2)),
        logprobs({"token": 7, "logprob": -1.0}),
        logprobs({"token": "Yes", "logprob": "-1"}),
        logprobs({"token": "Yes", "logprob": True}),
        logprobs({"token": "Yes", "logprob": math.nan}),
        logprobs({"token": "Yes", "logprob": 10**30}),
        logprobs({"token": "Yes", "logprob": 10**400}),
        logprobs(entry("token_id:" + "1" * 11, -1.0)),
        logprobs(entry("token_id:" + "1" * 5000, -1.0)),
        logprobs(entry("Yes", -1.0, bytes=[300])),
        logprobs(entry("Yes", -1.0, bytes=["a"])),
        logprobs(entry("Yes", -1.0, bytes=1_000_000_000_000)),
    ],
)
def test_probabilities_that_are_none(body: object) -> None:
    outcome = read(document(logprobs=body), labelled(1))
    assert isinstance(outcome, Again)
    assert outcome.reason in {"no_logprobs", "bad_logprobs"}


def test_zero_is_a_probability() -> None:
    found = distribution(logprobs(entry("The", 0.0), entry("Yes", -math.inf), entry("No", -9999.0), entry("no", -(10**400))))
    assert found.total == 0.0


def test_one_answer_that_nobody_thought_of_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was met is said; what the exception says is not, since that may be what the server said."""

    def broken(*_: object) -> None:
        raise KeyError(KEY)

    for name, body, status in (("read_distribution", document(), 200), ("asked_wait", document(), 503)):
        with monkeypatch.context() as patch:
            patch.setattr(answers, name, broken)
            outcome = read(body, labelled(1), status)
        assert isinstance(outcome, Again)
        assert outcome.reason == "malformed"
        assert outcome.detail.startswith("the answer cannot be read: KeyError in broken, test_answers.py:")
        assert KEY not in outcome.detail


def test_who_refuses_gives_no_probabilities() -> None:
    reply = read(document(content=None, refusal="No."), labelled(1))
    assert isinstance(reply, Reply)
    assert (reply.refusal, reply.distribution, reply.text) == ("No.", None, "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*document(), "content", "message"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["id", "model", "choices", "usage", "logprobs", "content", "finish_reason", "all"]))
def test_nothing_that_a_server_says_breaks_the_reader(value: object, where: str) -> None:
    body: Any = document(logprobs=logprobs(entry("Yes", -1.0)))
    if where == "all":
        body = value
    elif where == "logprobs":
        body["choices"][0]["logprobs"] = {"content": [value]}
    elif where in {"content", "finish_reason"}:
        body["choices"][0][where] = value
    else:
        body[where] = value
    assert isinstance(read(body, labelled(1)), Reply | Again)


@given(st.binary(max_size=200), st.sampled_from([200, 204, 301, 400, 403, 404, 413, 422, 429, 500, 503, 599]))
def test_no_bytes_break_the_reader(body: bytes, status: int) -> None:
    assert isinstance(read(body, labelled(1), status), Reply | Again | Trouble)
