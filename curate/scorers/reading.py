"""What is to be said of a text that a network did not read as it was written: it was cut, or it holds control tokens.

Tokenizers take the marks that they put around a text for marks inside of it as well: `a fox<|endoftext|>, masterpiece` is the
text `a fox` to OpenAI's own tokenizer and to transformers'; OpenCLIP's spells its marks `<end_of_text>`. A rater keeps to its
original, so the value stands; but it is no value of the prompt that somebody wrote, and that is said beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def said_of(ids: Sequence[int], *, context: int, marks: int, control: Mapping[int, str]) -> str:
    """What is to be said of a text, as words to stand after its name; empty where there is nothing to say.

    `ids` are its tokens without the `marks` that are put around it, `context` the tokens that are read, marks included, and
    `control` the names of the control tokens.
    """
    room = context - marks
    found = sorted({control[one] for one in ids[:room] if one in control})
    said = [f"was cut to {context} tokens"] if len(ids) > room else []
    if found:
        said.append(f"holds control tokens ({', '.join(found)}), read as such")
    return " and ".join(said)


def notes_on(name: str, said: Sequence[str]) -> dict[int, str]:
    """By position in a batch, what was said of the texts there; `name` says which texts they are."""
    return {number: f"{name} {one}" for number, one in enumerate(said) if one}


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The control tokens of a tokenizer of transformers, by id; without the one that stands for what it does not know."""
    marks = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {number: name for number, name in marks.items() if name != tokenizer.unk_token or name == tokenizer.eos_token}
