"""Texts that come with data, and the tokens by which chat templates tell turns, pictures and texts apart.

A caption that holds `<|im_end|>` could end the turn it stands in, and one that holds `<image>` could ask for a picture that is
not there. Such tokens get a space after their first character: they say the same to a reader, and nothing to a tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

THOUGHTS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"))
"""How models mark what they think before they answer: the opening marks and the closing ones."""

CONTROL_TOKENS = (
    # Turns and ends of texts.
    *("<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<BOS>", "<EOS>", "<|endoftext|>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    *("<start_of_turn>", "<end_of_turn>", "<end_of_utterance>", "[MASK]"),
    *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"),
    *("<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "[gMASK]", "<sop>"),
    # Pictures, videos and what is marked in them.
    *("<image>", "</image>", "<video>", "</video>", "<img>", "</img>", "<IMG_CONTEXT>", "<ImageHere>", "<im_patch>"),
    *("<start_of_image>", "<end_of_image>", "<image_soft_token>", "<image_placeholder>", "<fake_token_around_image>"),
    *("<im_start>", "<im_end>", "<vid_start>", "<vid_end>", "<slice>", "</slice>", "<image_id>", "</image_id>"),
    *("[IMG]", "[IMG_BREAK]", "[IMG_END]", "<|image|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"),
    *("<global-img>", "<audio>", "</audio>"),
    *("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<|Reward|>"),
    # Blocks of replies: what stands in data must not look like an answer.
    *(mark for pair in THOUGHTS for mark in pair),
    *("<answer>", "</answer>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
)
"""Of Qwen, Llama, Mistral, InternVL, InternLM, LLaVA, Gemma, Phi, DeepSeek, GLM, MiniCPM and Idefics."""

_OF_A_FAMILY = (
    r"<\|[^<>|\n]{1,64}\|>|<image_?\d{1,3}>|<row_\d{1,3}_col_\d{1,3}>"
    r"|<reserved_?\d{1,5}>|<unused_?\d{1,5}>|\[unused_token_\d{1,5}\]|\[control_\d{1,4}\]"
)
"""Tokens that are told by their shape: `<|…|>`, numbered pictures and pieces of them, and places kept for later."""

_TAGS = range(0xE0020, 0xE007F)
"""Characters nobody sees, each the shadow of an ASCII one."""


def defused(text: str, control: Iterable[str]) -> str:
    """A text without certain tokens, exactly as they are spelt: each one gets a space after its first character."""
    tokens = [token for token in control if len(token) > 1]
    while found := [token for token in tokens if token in text]:
        for token in found:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def neutralised(text: str) -> str:
    """A text of data without the control tokens of any common chat template; one that holds none comes through as it is.

    Tokens are also found where they are spelt with full-width characters, or with invisible ones in between: what a tokenizer
    normalises before it looks for its tokens is unknown. Lone surrogates, which no request can carry, become U+FFFD.
    """
    return broken(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), _tokens())


def broken(text: str, marks: re.Pattern[str]) -> str:
    """A text with a space after the first character of each mark, wherever a lenient reader sees one (`as_seen`).

    A mark that has its space may match no more, or this would not end.
    """
    while True:
        seen, places = _as_seen(text)
        starts = [places[match.start()] for match in marks.finditer(seen)]
        if not starts:
            return text
        # A space behind the first character; from the end, so that the places before stay right.
        for start in reversed(starts):
            text = f"{text[: start + 1]} {text[start + 1 :]}"


def as_seen(text: str) -> str:
    """A text with its compatibility characters in their plain form and without invisible ones; hidden ASCII becomes visible."""
    return _as_seen(text)[0]


def _as_seen(text: str) -> tuple[str, list[int] | range]:
    """The text as a lenient reader sees it, and for each of its characters the place of the one it came from."""
    if text.isascii():
        return text, range(len(text))
    seen: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if ord(character) in _TAGS:
            plain = chr(ord(character) - 0xE0000)
        elif unicodedata.category(character) in {"Cf", "Mn", "Me"}:
            plain = ""
        else:
            plain = unicodedata.normalize("NFKC", character)
        seen.append(plain)
        places.extend([place] * len(plain))
    return "".join(seen), places


@cache
def _tokens() -> re.Pattern[str]:
    longest_first = sorted(set(CONTROL_TOKENS), key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, longest_first), _OF_A_FAMILY]), re.IGNORECASE)
