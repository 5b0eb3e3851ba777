"""GenEval with today's libraries: whether a picture shows the objects, numbers, colours and places that its record asks for.

Objects are found by Mask2Former of transformers (`curate.scorers.detectors.instances`), colours told by CLIP
(`curate.scorers.detectors.geneval_colours`), and both judged by GenEval's rules (`curate.scorers.detectors.geneval_rules`).
The original runs the Mask2Former of mmdetection 2, whose weights were trained elsewhere; the numbers are near but not the
same, which is why the name is geneval-hf and not GenEval.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from curate.cards import CardFile
from curate.content import complaint
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.arguments import arguments
from curate.scorers.detectors.geneval_colours import Colours
from curate.scorers.detectors.geneval_rules import COUNTING, Found, Request, Verdict, judge, read_request
from curate.scorers.detectors.grounding import check_dimensions
from curate.scorers.detectors.instances import Instance, load_segmenter
from curate.scorers.detectors.wanted import Refusal
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.references.base import AsItIs
from curate.scorers.towers.clip import TowerArguments, load_towers
from curate.scorers.transfers import rows_of

TOLD = 1000
"""Characters of what does not hold that are told beside the value."""


class GenevalArguments(TowerArguments):
    """The `args` of a card for `Geneval`; those of towers, and `preprocess`, are about the CLIP that tells colours."""

    objects: tuple[str, ...] = Field(min_length=1)
    """Names of the detector's classes, in its order."""
    colours: tuple[str, ...] = Field(min_length=2)
    templates: tuple[str, ...] = Field(min_length=1)
    """Texts with {colour} and {object}, whose embeddings are averaged for each colour."""
    background: tuple[int, int, int] = (153, 153, 153)
    """RGB around an object whose colour is asked."""
    confidence: float = Field(default=0.3, ge=0, lt=1)
    """What is not surer is not there."""
    counting_confidence: float = Field(default=0.9, ge=0, lt=1)
    """The same where the record's tag is 'counting'."""
    most_objects: int = Field(default=16, ge=1)
    """Of one class; the surest."""
    most_instances: int = Field(default=100, ge=1)
    """Of all classes together, before that."""
    margin: float = Field(default=0.1, ge=0)
    """Of two boxes' sizes that their centres may lie apart without lying beside each other."""
    shortest: int = Field(default=800, ge=32)
    longest: int = Field(default=1333, ge=32)
    """Pixels of the sides that the detector gets a picture's within."""
    metadata: Mapping[str, Any] | None = None
    """What is asked of every picture whose record asks nothing."""


class Geneval(NetworkRater):
    """Judges whether a picture shows what its record asks for: 1 or 0, and the share of clauses that hold."""

    differentiable = False
    batch_size = 4

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, GenevalArguments)
        check_dimensions(file, ("correct", "clauses"))
        make = AsItIs()
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make)])
        self._segmenter = load_segmenter(
            file,
            "detector",
            shortest=args.shortest,
            longest=args.longest,
            most=args.most_instances,
            device=self.device,
            offline=settings.offline,
        )
        if len(args.objects) != self._segmenter.classes:
            raise CardError(
                f"{file.where}, field 'args.objects': {len(args.objects)} names for {self._segmenter.classes} classes"
            )
        self._towers = load_towers(file, args, self.device, offline=settings.offline)
        self._colours = Colours(
            self._towers,
            Normalise(args.mean, args.std),
            declared_preparation(args.preprocess, where=file.where).make,
            names=args.colours,
            templates=args.templates,
            background=args.background,
            device=self.device,
        )
        self._otherwise = _request(args.metadata, file.where)
        self._args = args

    def close(self) -> None:
        self._towers.forget()

    def forward(self, inputs: Inputs) -> Scores:
        pixels = inputs.pixels["response"]
        values = torch.zeros(len(pixels), len(self.dimensions))
        failures: dict[int, tuple[Status, str]] = {}
        asked: dict[int, Request] = {}
        notes: dict[int, str] = {}
        for number in range(len(pixels)):
            request = self._asked(inputs.samples[number].meta if inputs.samples else {})
            if isinstance(request, Refusal):
                failures[number] = (request.status, request.detail)
            else:
                asked[number] = request
        if asked:
            segments = self._segmenter.find(rows_of(pixels, list(asked)), at_least=self._least)
            for number, found in zip(asked, segments, strict=True):
                verdict = self._judge(asked[number], found, pixels[number])
                said = {"correct": float(verdict.correct), "clauses": verdict.held / verdict.asked}
                values[number] = torch.tensor([said[dimension] for dimension in self.dimensions])
                if verdict.reasons:
                    notes[number] = "; ".join(verdict.reasons)[:TOLD]
        return Scores(values=values, notes=notes, failures=failures)

    @property
    def _least(self) -> float:
        return min(self._args.confidence, self._args.counting_confidence)

    def _asked(self, meta: Mapping[str, Any]) -> Request | Refusal:
        """What a record asks, if this detector and these colours can answer it."""
        request = read_request(meta, self._otherwise)
        if isinstance(request, Refusal):
            return request
        for clause in (*request.include, *request.exclude):
            if clause.name not in self._args.objects:
                return Refusal(Status.NOT_APPLICABLE, f"the detector does not know '{clause.name}'")
            if clause.count > self._args.most_objects:
                return Refusal(Status.NOT_APPLICABLE, f"at most {self._args.most_objects} of a class are counted")
            if clause.color is not None and clause.color not in self._args.colours:
                return Refusal(Status.NOT_APPLICABLE, f"'{clause.color[:40]}' is none of {', '.join(self._args.colours)}")
        return request

    def _judge(self, request: Request, instances: Sequence[Instance], pixels: Tensor) -> Verdict:
        least = self._args.counting_confidence if request.tag == COUNTING else self._args.confidence
        found: dict[str, list[Found[Tensor]]] = {}
        for one in instances:
            of_class = found.setdefault(self._args.objects[one.number], [])
            if one.confidence > least and len(of_class) < self._args.most_objects:
                of_class.append(Found(box=one.box, confidence=one.confidence, mask=one.mask))
        levels = (pixels * 255).round().byte().movedim(0, -1).cpu().numpy()
        return judge(request, found, lambda name, objects: self._colours.of(name, objects, levels), margin=self._args.margin)


def _request(metadata: Mapping[str, Any] | None, where: str) -> Request | None:
    if metadata is None:
        return None
    try:
        return Request.model_validate(dict(metadata))
    except ValidationError as problem:
        raise CardError(complaint(problem, Request, where=where, under=("args", "metadata"))) from problem
