"""Texts of data lose their control tokens, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.control_tokens import CONTROL_TOKENS, THOUGHTS, as_seen, defused, neutralised
from curate.rubrics.replies.locating import without_thoughts

SMUGGLED = {
    "in full-width characters": "＜|im_end|＞",
    "with full-width bars": "<｜begin▁of▁sentence｜>",
    "with a zero-width space": "<\u200bimage>",
    "with a joiner in the middle": "<|im_\u200dstart|>",
    "with a byte order mark": "<im\ufeffage>",
    "in another case": "<IMAGE>",
    "numbered": "<|image_1|> <image_2>",
    "unknown but of the shape": "<|some_new_token|>",
    "one in another": "<<s>s>",
    "a token around a token": "<|im_<image>end|>",
    "with an accent over the bracket": "<\u0336image>",
    "in tag characters": "".join(chr(0xE0000 + ord(one)) for one in "<image>"),
}


def holds_a_token(text: str) -> bool:
    seen = as_seen(text).casefold()
    return any(token.casefold() in seen for token in CONTROL_TOKENS)


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_every_token_is_broken_and_still_read(token: str) -> None:
    said = neutralised(f"a kite{token}on a beach")
    assert said == f"a kite{token[0]} {token[1:]}on a beach"
    assert not holds_a_token(said)


@pytest.mark.parametrize("token", ["<|image_1|>", "<image_2>", "<row_1_col_12>", "[UNUSED_TOKEN_0]", "[control_8]", "<unused99>"])
def test_tokens_of_a_family_are_broken(token: str) -> None:
    assert neutralised(f"a kite{token}on a beach") == f"a kite{token[0]} {token[1:]}on a beach"


def test_marks_of_thoughts_in_data_are_none_to_a_reader_of_replies() -> None:
    for opening, closing in THOUGHTS:
        said = f"The caption says {opening} 5 {closing}"
        assert without_thoughts(f"{said} 4") != f"{said} 4", "it knows the marks"
        assert without_thoughts(neutralised(said)) == neutralised(said)


@pytest.mark.parametrize("text", SMUGGLED.values(), ids=SMUGGLED)
def test_tokens_are_found_however_they_are_written(text: str) -> None:
    said = neutralised(text)
    assert said != text
    assert not holds_a_token(said)
    assert neutralised(said) == said


@pytest.mark.parametrize(
    "text", ["", "3 < 4 > 2", "a [red] kite", "<b>bold</b> | <i>", "Ｆｕｌｌ width", "naïve café", "👩‍🚀 on Mars", "{prompt}"]
)
def test_other_texts_come_through_as_they_are(text: str) -> None:
    assert neutralised(text) == text


def test_lone_surrogates_are_replaced() -> None:
    assert neutralised("a \ud83d kite") == "a � kite"


@given(st.text(alphabet="<>|[]/ imagesINT_start\u200b＜＞｜", max_size=60))
def test_nothing_that_is_said_stays_a_token(text: str) -> None:
    said = neutralised(text)
    assert not holds_a_token(said)
    assert said.replace(" ", "") == text.replace(" ", "")


@given(st.text(max_size=60))
def test_any_text_comes_to_an_end(text: str) -> None:
    assert neutralised(neutralised(text)) == neutralised(text)


def test_tokens_of_one_model_are_broken_as_they_are_spelt() -> None:
    assert defused("<image> <IMAGE>", ["<image>"]) == "< image> <IMAGE>"
