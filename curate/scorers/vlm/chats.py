"""Questions about pictures in the chat template of a model, with what their data may not do to it.

Data stays data: no control token of the model in it (`<|im_end|>`, `<image>` …) is read as one, and a chat always shows exactly
as many pictures as there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.asks import Picture, Turn
from curate.errors import CardError, CurateError
from curate.scorers.vlm.qwen import control_tokens
from curate.scorers.vlm.templates import fill
from curate.weights import first_line

PICTURE = {"type": "image"}

STAND_IN = "a cat"
"""For trying out a template."""


class ChatTemplate:
    """How a model is talked to: turns in, one text out, which ends where the model goes on."""

    def __init__(self, processor: Any, *, where: str) -> None:
        """Raises `CardError` where the model has no chat template that shows pictures."""
        self._processor = processor
        placeholder = getattr(processor, "image_token", None)
        if not placeholder or not getattr(processor, "chat_template", None):
            raise CardError(f"{where}: the processor of this model has no chat template with a place for pictures")
        self._placeholder: str = placeholder
        self.control = tuple(token for token in (*control_tokens(processor.tokenizer), placeholder) if len(token) > 1)

    def text(self, turns: Sequence[Turn]) -> str:
        """The whole text. Where the assistant has the last turn, that is how its answer begins.

        Raises `CurateError` where a text holds a control token of the model, or where the template does not show each picture
        once.
        """
        said = turns[-1] if turns[-1].role == "assistant" else None
        before = turns if said is None else turns[:-1]
        stem = "" if said is None else "".join(part for part in said.parts if isinstance(part, str))
        self._check(stem)
        messages = [{"role": turn.role, "content": [self._part(part) for part in _joined(turn.parts)]} for turn in before]
        return self.filled(messages, stem, sum(isinstance(part, Picture) for turn in turns for part in turn.parts))

    def filled(self, messages: Sequence[Mapping[str, Any]], stem: str, pictures: int) -> str:
        """The text of messages as transformers has them, and behind it what the model has said so far.

        Raises `CurateError` where the template does not take them (some have no place for a system turn), or does not show
        that many pictures.
        """
        try:
            text = self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + stem
        except Exception as problem:  # templates of others: they raise what they like
            raise CurateError(f"the chat template does not take these turns: {first_line(problem)}") from problem
        if (shown := text.count(self._placeholder)) != pictures:
            raise CurateError(f"the chat template shows {shown} pictures where there are {pictures}")
        return str(text)

    def tail(self, text: str) -> str:
        """The end of a text from its last control token on: what stands before it does not change how the rest is tokenised."""
        return text[max((place for token in self.control if (place := text.rfind(token)) >= 0), default=0) :]

    def _part(self, part: str | Picture) -> dict[str, str]:
        if isinstance(part, Picture):
            return PICTURE
        self._check(part)
        return {"type": "text", "text": part}

    def _check(self, text: str) -> None:
        found = next((token for token in self.control if token in text), None)
        if found is not None:
            raise CurateError(f"a text holds {found}, which is a control token of this model")


def _joined(parts: Sequence[str | Picture]) -> list[str | Picture]:
    """Parts with the texts that stand next to each other made one: a control token may arise between two, and some templates
    put something there."""
    joined: list[str | Picture] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return joined


class Chat:
    """One question with a place for a prompt: makes the text that a model is asked, up to the token that is read."""

    def __init__(self, processor: Any, *, question: str, pictures: int, system: str | None, stem: str, where: str) -> None:
        """`question` holds `{text_prompt}` where the prompt belongs, if anywhere; `stem` is what the model has said so far.

        Raises `CardError` where the model has no chat template that shows pictures.
        """
        self._template = ChatTemplate(processor, where=where)
        self._question = question
        self._pictures = pictures
        self._system = system
        self._stem = stem
        try:
            self.example, _ = self.text(STAND_IN)
        except CurateError as problem:
            raise CardError(f"{where}: {problem}") from problem

    def text(self, prompt: str) -> tuple[str, bool]:
        """The whole text, and whether the prompt had to be defused. Raises `CurateError` for a wrong number of pictures."""
        question, defused = fill(self._question, prompt, self._template.control)
        content = [*([PICTURE] * self._pictures), {"type": "text", "text": question}]
        system = [] if self._system is None else [{"role": "system", "content": [{"type": "text", "text": self._system}]}]
        return self._template.filled([*system, {"role": "user", "content": content}], self._stem, self._pictures), defused
