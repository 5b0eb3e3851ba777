"""A rubric as a rater: its cases put to a server or to a model on this machine, its answers made into judgements.

Who answers is part of the card: `resolved` writes the model that a server serves into it, so that ratings of two models are
never taken for each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from curate.asks import Backend, Model
from curate.cards import CardFile
from curate.errors import CardError, MissingExtra
from curate.fixed_text import load_text
from curate.judges.abilities import check_abilities
from curate.judges.driver import Driver, Outcome, Work, worked
from curate.judges.estimate import Estimate, estimated, examining
from curate.judges.memory import Memory
from curate.judges.served import check_same_weights, open_server, served_model, weights_of
from curate.judges.showing import Showing, difference
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Place, failure
from curate.records import Status, canonical_json
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.loading import load_method, rubric_arguments
from curate.store.replies import Replies

if TYPE_CHECKING:
    from curate.client.backend import ServerBackend
    from curate.client.server import Server

JUDGE = "judge"
"""The argument under which a resolved card names who answers."""


class RubricRater:
    """Judges samples, or pairs of them, by a rubric."""

    place: Place = "main"

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self._method = load_method(_without_judge(file), _texts(file, offline=settings.offline))
        self.dimensions = tuple(file.card.dimensions)
        self._showing = Showing(self._method.pictures, self._method.shown)
        self.wants_bytes = self._showing.wants_bytes
        self.preparations = self._showing.preparations
        self._estimate = Estimate()
        self._work = Work()
        self._resources = ExitStack()
        self._resources.callback(self._showing.close)
        self._backend: Backend | None = None
        self._served_by: ServerBackend | None = None
        self._serving = settings.serving
        self._again = settings.again
        self._memory: Memory | None = None
        self.batch_size = settings.batch_size or 8
        self._open(file, settings)

    @classmethod
    def resolved(cls, file: CardFile, settings: Settings) -> CardFile:
        """The card with the model that answers in it; asks the server for its name where the run does not say it."""
        if settings.serving is None:
            if "model" not in file.card.weights:
                raise CardError(
                    f"{file.where}: '{file.card.name}' asks a vision-language model: name a server with --server URL, any "
                    "that is OpenAI-compatible, or give the card weights"
                )
            return file
        judge: dict[str, Any] = {"name": served_model(settings.serving), "revision": settings.serving.revision}
        if settings.serving.dialect:
            judge["dialect"] = dict(settings.serving.dialect)
        # The model's own weights play no part where a server answers; texts decide what it is asked.
        kept = {text.role for text in rubric_arguments(_without_judge(file)).texts.values()}
        weights = {role: weights for role, weights in file.card.weights.items() if role in kept}
        card = file.card.model_copy(update={"args": {**file.card.args, JUDGE: judge}, "weights": weights})
        return file.model_copy(update={"card": card})

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        """One judgement for each item, as its conversation ends."""
        if self._backend is None:
            yield from estimated(self._conversations(items), self._estimate, self._memory, self.dimensions)
            return
        driver = Driver(self._backend, self._memory, self._work, again=self._again)
        for number, outcome in driver.run(self._conversations(items)):
            yield self._judgement(number, outcome)

    def told(self) -> dict[str, float]:
        """What was asked, or would be."""
        return self._estimate.told() if self._backend is None else self._work.told()

    def notices(self) -> list[str]:
        """What the user should know of the replies that were remembered."""
        damaged = 0 if self._memory is None else self._memory.unreadable
        count = f"{damaged:,} remembered {'reply is' if damaged == 1 else 'replies are'}"
        return [f"{count} damaged, and counted as not yet asked for"] if damaged else []

    def told_of_server(self) -> dict[str, float]:
        """What it took, or would take at least, to examine and to test the server; empty where there is none."""
        if self._serving is None:
            return {}
        return examining(self._serving) if self._served_by is None else worked(self._served_by.examining)

    def give_up(self) -> None:
        """Wait for no more answers; what is remembered of them stays."""
        if self._backend is not None:
            self._backend.give_up()

    def close(self) -> None:
        """Give up what is under way; connections and the device go back."""
        self._resources.close()

    def _conversations(self, items: Iterable[Item]) -> Iterator[tuple[int, Callable[[], Conversation]]]:
        for item in items:
            case = self._showing.case(item)
            yield item.number, partial(self._converse, case, difference(item.samples))

    def _converse(self, case: Case, unlike: str | None) -> Conversation:
        """The conversation about a case; none where two samples do not answer the same request."""
        if unlike is not None:
            raise NoJudgementError(Status.NOT_APPLICABLE, f"unlike_requests: the two samples have not the same {unlike}")
        return (yield from self._method.converse(case))

    def _judgement(self, number: int, outcome: Outcome) -> Judgement:
        if isinstance(outcome, NoJudgementError):
            return Judgement(item=number, values=failure(self.dimensions, outcome.status, outcome.detail))
        return Judgement(item=number, values=outcome)

    def _open(self, file: CardFile, settings: Settings) -> None:
        """Open what answers, and what is remembered of its answers."""
        with ExitStack() as stack:
            stack.callback(self._resources.close)
            model, software, weights = _named(file.card.args), "", None
            if not settings.estimate:
                if settings.serving is None:
                    self._backend = _local(file, settings)
                    model = self._backend.model
                else:
                    server = open_server(settings, settings.serving, self._resources)
                    self._backend = self._served(file, server)
                    weights = weights_of(server)
                self._resources.callback(self._backend.close)
                self.batch_size = settings.batch_size or self._backend.slots
                software = _software(self._backend.model, weights)
            if settings.replies is not None and (settings.replies.exists() or not settings.estimate):
                replies = self._resources.enter_context(Replies(settings.replies, read_only=settings.estimate))
                if weights is not None:
                    check_same_weights(replies, model, weights)
                self._memory = Memory(replies, card=file.card.fingerprint, model=model, backend=software, weights=weights)
            stack.pop_all()

    def _served(self, file: CardFile, server: Server) -> Backend:
        """A server that can do what the rubric needs."""
        from curate.client.backend import ServerBackend

        backend = self._served_by = ServerBackend(server)
        arguments, reads_labels = rubric_arguments(_without_judge(file)), self._method.reads_labels
        check_abilities(backend.capabilities, file.card, arguments, reads_labels=reads_labels, url=server.serving.url)
        return backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _texts(file: CardFile, *, offline: bool) -> dict[str, str]:
    """The texts of others that the messages of a card hold; raises as `load_text` does."""
    texts = rubric_arguments(_without_judge(file)).texts
    return {name: load_text(file, text, offline=offline) for name, text in texts.items()}


def _without_judge(file: CardFile) -> CardFile:
    """The card as its author wrote it."""
    args = {name: value for name, value in file.card.args.items() if name != JUDGE}
    return file.model_copy(update={"card": file.card.model_copy(update={"args": args})})


def _named(args: Mapping[str, Any]) -> Model:
    """Who answers, as a resolved card says it; without the server's software, which may be updated in the middle of a job."""
    judge = args.get(JUDGE) or {}
    dialect = judge.get("dialect")
    name = str(judge.get("name", ""))
    return Model(name=f"{name} {canonical_json(dialect)}" if dialect else name, revision=judge.get("revision"))


def _local(file: CardFile, settings: Settings) -> Backend:
    try:
        from curate.scorers.vlm.answering import LocalBackend
    except ModuleNotFoundError as problem:
        raise MissingExtra(
            f"without --server URL the rater '{file.card.name}' runs on this machine, which", "rewards", problem
        ) from problem
    return LocalBackend(file, settings)


def _software(answers: Model, weights: str | None) -> str:
    """What answers, as it is kept beside each reply: software, and the weights where they are another thing than the name."""
    return answers.backend if weights in (None, answers.name) else f"{answers.backend} with {weights}".lstrip()
