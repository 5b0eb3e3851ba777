"""A question about pictures in the chat template of a model, with what a prompt may not do to it.

A prompt is data: each control token of the model in it (`<|im_end|>`, `<image>` …) becomes plain text, and a question always
shows exactly as many pictures as there are.
"""

from __future__ import annotations

from typing import Any

from curate.errors import CardError, CurateError
from curate.scorers.vlm.qwen import control_tokens
from curate.scorers.vlm.templates import fill

STAND_IN = "a cat"
"""For trying out a template."""


class Chat:
    """Makes the text that a model is asked, up to the token that is read."""

    def __init__(self, processor: Any, *, question: str, pictures: int, system: str | None, stem: str, where: str) -> None:
        """`question` holds `{text_prompt}` where the prompt belongs, if anywhere; `stem` is what the model has said so far.

        Raises `CardError` where the model has no chat template that shows pictures.
        """
        self._processor = processor
        self._question = question
        self._pictures = pictures
        self._system = system
        self._stem = stem
        self._placeholder = getattr(processor, "image_token", None)
        if not self._placeholder or not getattr(processor, "chat_template", None):
            raise CardError(f"{where}: the processor of this model has no chat template with a place for pictures")
        self._control = (*control_tokens(processor.tokenizer), self._placeholder)
        try:
            self.example, _ = self.text(STAND_IN)
        except CurateError as problem:
            raise CardError(f"{where}: {problem}") from problem

    def text(self, prompt: str) -> tuple[str, bool]:
        """The whole text, and whether the prompt had to be defused. Raises `CurateError` for a wrong number of pictures."""
        question, defused = fill(self._question, prompt, self._control)
        content = [*({"type": "image"} for _ in range(self._pictures)), {"type": "text", "text": question}]
        turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self._system is not None:
            turns.insert(0, {"role": "system", "content": [{"type": "text", "text": self._system}]})
        text = self._processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + self._stem
        if (shown := text.count(self._placeholder)) != self._pictures:
            raise CurateError(f"the chat template shows {shown} pictures where there are {self._pictures}")
        return text, defused
