"""Long prompts with a place for the caption, and captions that cannot break out of it."""

from __future__ import annotations

from collections.abc import Iterable

from curate.cards import CardFile
from curate.control_tokens import defused
from curate.errors import WeightsError
from curate.fixed_text import FixedText, load_text

SLOT = "{text_prompt}"
"""Where the caption goes, in all the texts of these originals."""

NEUTRALISED = "control tokens in the prompt were taken as plain text"


def load_template(file: CardFile, template: FixedText, *, offline: bool) -> str:
    """The text, with the slot for the caption in it; raises `WeightsError` as `load_text` does, and where it has not one slot."""
    text = load_text(file, template, offline=offline)
    if text.count(SLOT) != 1:
        raise WeightsError(f"{file.where}: the text for 'weights.{template.role}' has not one place {SLOT} for the caption")
    return text


def fill(template: str, caption: str, control: Iterable[str]) -> tuple[str, bool]:
    """The template with the caption in its place, and whether the caption had to be defused.

    A caption cannot open an image, end a turn or add a reward. Captions that do not try come through as they are.
    """
    plain = defused(caption, control)
    return template.replace(SLOT, plain), plain != caption
