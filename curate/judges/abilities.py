"""Whether a server can do what a rubric needs, found out before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from curate.cards import Card
from curate.client.capabilities import MOST_PICTURES_TRIED, Capabilities
from curate.errors import ServerError
from curate.rubrics.spec import Call, Common


def check_abilities(able: Capabilities, card: Card, arguments: Common, *, reads_labels: bool, url: str) -> None:
    """Raises `ServerError` where no ask of a rubric, whose `args` are given, could be answered."""
    if reads_labels and not able.top_logprobs:
        raise ServerError(
            f"{url} returns no log-probabilities, which '{card.name}' needs; name a server that does, such as vLLM, or a rater "
            "that reads what a judge writes"
        )
    if not able.says_end and needs_ends(arguments):
        raise ServerError(
            f"{url} does not say why its answers end (finish_reason), so a whole text could not be told from one that was cut "
            f"off, which '{card.name}' needs; name a server that says it, or a rater that reads probabilities"
        )
    shown = least_pictures(arguments, optional=card.takes.optional)
    if able.pictures < shown and able.pictures < MOST_PICTURES_TRIED:
        takes = f"at most {able.pictures} picture{'s' * (able.pictures > 1)} in a request" if able.pictures else "no pictures"
        raise ServerError(
            f"{url} takes {takes}, and '{card.name}' shows {shown}; start the server so that it takes more, or use another rater"
        )


def needs_ends(arguments: Common) -> bool:
    """Whether any of a rubric's requests is for a text that is of no use where it was cut off."""
    return any(call.reads.labels is None and not call.may_be_cut for call in _calls(arguments))


def least_pictures(arguments: Common, *, optional: tuple[str, ...]) -> int:
    """How many pictures the largest of a rubric's requests holds at least; roles that are `optional` may have none."""
    return max((_shown(call, optional) for call in _calls(arguments)), default=0)


def _shown(call: Call, optional: tuple[str, ...]) -> int:
    roles = (part.picture or part.pictures for message in call.messages for part in message.parts)
    return sum(role is not None and role not in optional for role in roles)


def _calls(value: object) -> Iterator[Call]:
    """The calls among the arguments of any method."""
    if isinstance(value, Call):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _calls(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _calls(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _calls(one)
